"""Every process evaluates the model that is saved."""

from mmengine.dist import broadcast, is_distributed
from mmengine.hooks import Hook

from mlore_mm.registry import HOOKS


@HOOKS.register_module()
class BroadcastBuffersHook(Hook):
    """Copies the main process's buffers to all others before a validation.

    Plain batch norms keep running statistics of each process's own images. Without this, every process would validate
    another model, and only the first of them is saved; with synchronised batch norms nothing changes.
    """

    priority = 'VERY_HIGH'

    def before_val_epoch(self, runner) -> None:
        if is_distributed():
            for buffer in runner.model.buffers():
                broadcast(buffer)
