"""Which parameters the optimizer gets."""

from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from torch import nn

from mlore_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mlore_mm.utils.unwrap import bare_model


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class TrainableOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor, without the parameters that need no gradient.

    A frozen encoder then costs no optimizer state in memory and checkpoints. ``paramwise_cfg`` works as in mmengine.

    Raises:
        ValueError: Nothing in the model can be trained.
    """

    def __call__(self, model: nn.Module) -> OptimWrapper:
        if not any(parameter.requires_grad for parameter in bare_model(model).parameters()):
            raise ValueError('Every parameter of the model is frozen, so there is nothing to train.')
        wrapper = super().__call__(model)
        groups = wrapper.optimizer.param_groups
        for group in groups:
            group['params'] = [parameter for parameter in group['params'] if parameter.requires_grad]
        groups[:] = [group for group in groups if group['params']]
        return wrapper
