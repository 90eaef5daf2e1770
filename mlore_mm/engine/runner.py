"""mmengine's Runner with task definitions, safe checkpoint loading, and distributed training on CPUs."""

import re

from mmengine.device import get_device
from mmengine.dist import is_distributed
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from mlore_mm.engine.checkpoints import (
    check_pretrained_files,
    fill_model,
    naming_checkpoint,
    read_checkpoint,
    weights_only,
)
from mlore_mm.engine.processes import init_gloo, synchronise_batch_norms
from mlore_mm.engine.task_runner import TaskRunnerMixin
from mlore_mm.registry import MODEL_WRAPPERS, RUNNERS


@RUNNERS.register_module()
class MultiTaskRunner(TaskRunnerMixin, Runner):
    """A Runner that passes the task definitions of a config to the model, data sets and metrics (``runner_type``).

    Beyond what :class:`TaskRunnerMixin` does it

    - loads checkpoints without executing code in them, and requires all weights for testing and resuming;
    - trains on CPUs, in one process or several, with an unchanged config: with gloo instead of NCCL, and with our
      synchronised batch norms instead of PyTorch's, which need an accelerator.
    """

    # ---- machines without an accelerator -----------------------------------------------------------------------
    def setup_env(self, env_cfg: dict) -> None:
        if self.distributed and not is_distributed() and get_device() == 'cpu':
            init_gloo(self.launcher, env_cfg.get('dist_cfg', {}))
        super().setup_env(env_cfg)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        if not self.distributed or is_model_wrapper(model):
            return super().wrap_model(model_wrapper_cfg, model)
        default = dict(
            type='mlore_mm.MultiTaskDistributedDataParallel',
            broadcast_buffers=False,
            find_unused_parameters=self.cfg.get('find_unused_parameters', False),
        )
        wrapper = default if model_wrapper_cfg is None else model_wrapper_cfg
        if get_device() != 'cpu':
            return super().wrap_model(wrapper, model)
        # mmengine passes a device id, which PyTorch refuses for a model on the CPU, and would convert the batch norms
        # to PyTorch's SyncBatchNorm, which runs on accelerators only.
        model = synchronise_batch_norms(model, self.cfg.get('sync_bn'))
        return MODEL_WRAPPERS.build({'type': default['type'], **wrapper, 'device_ids': None, 'module': model})

    # ---- checkpoints -------------------------------------------------------------------------------------------
    def load_checkpoint(
        self, filename, map_location='cpu', strict: bool = False, revise_keys=((r'^module\.', ''),)
    ) -> dict:
        """Like mmengine's, but loads to the CPU first and never executes code from the file.

        Raises:
            ValueError: See :func:`read_checkpoint` and :func:`fill_model`; weights may be missing at the start of a
                training, unless it is ``strict``.
        """
        with naming_checkpoint(filename):
            return self._load(str(filename), strict, revise_keys)

    def _load(self, filename: str, strict: bool, revise_keys) -> dict:
        checkpoint = read_checkpoint(filename)
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        weights = checkpoint['state_dict']
        for pattern, replacement in revise_keys:
            for name in [name for name in weights if re.search(pattern, name)]:
                weights[re.sub(pattern, replacement, name)] = weights.pop(name)
        fill_model(self.model, weights, filename, () if strict else self.optional_weights)
        self._has_loaded = True
        self.logger.info(f'Load checkpoint from {filename}')
        return checkpoint

    def _init_model_weights(self) -> None:
        check_pretrained_files(self.model)
        with weights_only('A file of pre-trained weights (init_cfg)'):
            super()._init_model_weights()
