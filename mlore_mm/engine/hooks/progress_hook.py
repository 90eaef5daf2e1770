"""One line of progress on the console."""

from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from mlore_mm.registry import HOOKS
from mlore_mm.utils.progress import ProgressLine


@HOOKS.register_module()
class ProgressHook(Hook):
    """Shows how far training or testing is, for command lines that keep mmengine's log in its file.

    Args:
        title: First words of the line.
    """

    priority = 'VERY_LOW'

    def __init__(self, title: str) -> None:
        self.title = title
        self._line = None

    def before_train(self, runner) -> None:
        self._line = ProgressLine(self.title, 'iterations')

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        self._show(runner.iter + 1, runner.max_iters)

    def before_test(self, runner) -> None:
        self._line = ProgressLine(self.title, 'batches')

    def after_test_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        self._show(batch_idx + 1, len(runner.test_dataloader))

    def _show(self, done: int, total: int) -> None:
        if is_main_process():
            self._line(done, total)
