"""Testing in 16 bits, and with an account of its time."""

from collections.abc import Sequence

import torch
from mmengine.dist import is_main_process
from mmengine.runner import TestLoop

from mlore_mm.registry import LOOPS
from mlore_mm.utils.half_precision import autocast_to, check_dtype, default_half
from mlore_mm.utils.time_budget import TimeBudget


@LOOPS.register_module(name='TestLoop')
class TimedTestLoop(TestLoop):
    """mmengine's loop, which says at its end where the time went; configs name it as mmengine does.

    The parts: ``load`` (waiting for the data loader), ``prepare`` (to the device, normalise), ``model`` (the network,
    to logits at the size of the input), ``decode`` (to predictions at the size of the photo), ``metrics``, with the
    wait for the workers of the boundary score at the end, and ``hooks`` (files and pictures, where asked for).

    Args:
        dtype: 'fp32' (the default), 'bf16', or 'fp16' on a GPU: what the network computes in.
        fp16: mmengine's name for 16 bits of the kind that the device has.

    Raises:
        ValueError: A ``dtype`` that there is not, or both are given.
    """

    def __init__(self, runner, dataloader, evaluator, fp16: bool = False, dtype: str | None = None) -> None:
        super().__init__(runner, dataloader, evaluator)
        self.device = next((p.device for p in runner.model.parameters()), torch.device('cpu'))
        if fp16 and dtype is not None:
            raise ValueError(f'test_cfg has fp16=True and dtype={dtype!r}. Take fp16 out: dtype says which kind it is.')
        self.dtype = check_dtype(default_half(self.device) if fp16 else dtype or 'fp32', self.device)
        self.budget = TimeBudget()

    def run(self) -> dict:
        """Predictions and metrics of all images; the metrics."""
        self.budget = TimeBudget()
        loader, images = self.dataloader, len(self.dataloader.dataset)
        self.runner.call_hook('before_test')
        self.runner.call_hook('before_test_epoch')
        self.runner.model.eval()
        with self.budget.running():
            for index, batch in enumerate(self.budget.waiting('load', loader)):
                self.run_iter(index, batch)
            with self.budget.part('metrics'):
                metrics = self.evaluator.evaluate(images)
        with self.budget.part('hooks'):
            self.runner.call_hook('after_test_epoch', metrics=metrics)
            self.runner.call_hook('after_test')
        if is_main_process():
            self.runner.logger.info(f'Time of this test: {self.budget.describe(images)}')
        return metrics

    @torch.no_grad()
    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        """One batch."""
        with self.budget.part('hooks'):
            self.runner.call_hook('before_test_iter', batch_idx=idx, data_batch=data_batch)
        with self.budget.part('decode'), autocast_to(self.dtype, self.device):
            outputs = self.runner.model.test_step(data_batch)
        with self.budget.part('metrics'):
            self.evaluator.process(data_samples=outputs, data_batch=data_batch)
        with self.budget.part('hooks'):
            self.runner.call_hook('after_test_iter', batch_idx=idx, data_batch=data_batch, outputs=outputs)
