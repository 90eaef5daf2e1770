"""The wrapper of distributed training."""

from mmengine.model import MMDistributedDataParallel

from mlore_mm.registry import MODEL_WRAPPERS


@MODEL_WRAPPERS.register_module()
class MultiTaskDistributedDataParallel(MMDistributedDataParallel):
    """mmengine's, which leaves a model that steps one task at a time to average its gradients itself."""

    def train_step(self, data, optim_wrapper) -> dict:
        if getattr(self.module, 'train_step_mode', 'joint') == 'one_by_one':
            return self.module.train_step(data, optim_wrapper)
        return super().train_step(data, optim_wrapper)
