"""The runner of models that are sharded over several devices."""

from mmengine.fileio import join_path
from mmengine.runner import FlexibleRunner

from mlore_mm.engine.checkpoints import weights_only
from mlore_mm.engine.runner import MultiTaskRunner
from mlore_mm.engine.task_runner import TaskRunnerMixin
from mlore_mm.registry import RUNNERS


@RUNNERS.register_module()
class MultiTaskFlexibleRunner(TaskRunnerMixin, FlexibleRunner):
    """mmengine's FlexibleRunner for the ``strategy`` of the config, such as :class:`MultiTaskFSDPStrategy`.

    One process alone has nothing to share: without a launcher :class:`MultiTaskRunner` takes the place of this one, so
    that the same config tests and shows what several processes have trained.

    Raises:
        ValueError: A launcher is given and the config has no ``strategy``.
    """

    @classmethod
    def from_cfg(cls, cfg):
        if (cfg.get('launcher') or 'none') == 'none':
            return MultiTaskRunner.from_cfg(cfg)
        return super().from_cfg(cfg)

    def build_strategy(self, strategy=None, **options):
        if strategy is None:
            raise ValueError(
                'MultiTaskFlexibleRunner needs a strategy in the config: '
                "strategy = dict(type='mlore_mm.MultiTaskFSDPStrategy'). For plain distributed training set "
                "runner_type='mlore_mm.MultiTaskRunner'."
            )
        if isinstance(strategy, dict):
            strategy = dict(strategy)
            strategy.setdefault('sync_bn', self.cfg.get('sync_bn'))
        return super().build_strategy(strategy, **options)

    def resume(self, filename: str, *args, **options) -> None:
        self.strategy.optional_weights = self.optional_weights
        with weights_only(filename):  # for strategies that are not ours
            super().resume(filename, *args, **options)

    def load_checkpoint(self, filename: str, *args, **options) -> None:
        self.strategy.optional_weights = self.optional_weights
        with weights_only(filename):
            super().load_checkpoint(filename, *args, **options)

    def save_checkpoint(
        self,
        out_dir: str,
        filename: str,
        file_client_args: dict | None = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        meta: dict | None = None,
        by_epoch: bool = True,
        backend_args: dict | None = None,
    ) -> None:
        """As mmengine's, but the epoch and iteration in ``meta`` are kept; all processes call it.

        mmengine's writes the next iteration over the one that the best checkpoint was validated at.
        """
        meta = {'epoch': self.epoch + by_epoch, 'iter': self.iter + (not by_epoch), **(meta or {})}
        meta.update(cfg=self.cfg.pretty_text, experiment_name=self.experiment_name)
        if hasattr(self.train_dataloader.dataset, 'metainfo'):
            meta['dataset_meta'] = self.train_dataloader.dataset.metainfo
        self.strategy.save_checkpoint(
            filename=join_path(out_dir, filename),
            save_optimizer=save_optimizer,
            save_param_scheduler=save_param_scheduler,
            extra_ckpt=dict(meta=meta, message_hub=self.message_hub.state_dict()),
            callback=lambda checkpoint: self.call_hook('before_save_checkpoint', checkpoint=checkpoint),
        )
