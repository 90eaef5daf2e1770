"""Training by epochs that goes on in the middle of one."""

from mmengine.runner import EpochBasedTrainLoop

from mlore_mm.registry import LOOPS


@LOOPS.register_module(name='EpochBasedTrainLoop')
class ResumableEpochLoop(EpochBasedTrainLoop):
    """mmengine's loop, with :class:`ResumableSampler` told to end its passes, and with epochs that are taken up again.

    mmengine's starts an epoch that was interrupted from its beginning.

    Raises:
        ValueError: The sampler never ends.
    """

    def __init__(self, runner, dataloader, max_epochs: int, **options) -> None:
        super().__init__(runner, dataloader, max_epochs, **options)
        sampler = self.dataloader.sampler
        if hasattr(sampler, 'by_epoch'):
            sampler.by_epoch = True
        elif type(sampler).__name__ == 'InfiniteSampler':
            raise ValueError(
                'train_cfg is an EpochBasedTrainLoop and the sampler InfiniteSampler, so that the first epoch would '
                "never end. Give train_dataloader.sampler=dict(type='ResumableSampler'), or an IterBasedTrainLoop."
            )
        self._max_iters = self._max_epochs * len(self.dataloader)

    def run_epoch(self) -> None:
        """One epoch, or what is left of it."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        done = min(max(self._iter - self._epoch * len(self.dataloader), 0), len(self.dataloader))
        sampler, size = self.dataloader.sampler, self.dataloader.batch_size
        quick = done > 0 and hasattr(sampler, 'skip') and size is not None
        if quick:
            sampler.skip(done * size)
        for index, batch in enumerate(self.dataloader, start=done if quick else 0):
            if index >= done:
                self.run_iter(index, batch)
        if quick:
            sampler.skip(0)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1
