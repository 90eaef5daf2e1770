"""The model itself, and its weights' own names, inside whatever trains or averages it."""

from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.model.averaged_model import BaseAveragedModel
from torch import nn

# What wrappers put before the names of weights: DataParallel and its kin, torch.compile, FSDP.
_PREFIXES = ('module.', '_orig_mod.', '_fsdp_wrapped_module.')


def bare_model(model: nn.Module) -> nn.Module:
    """The model inside wrappers for several processes, test-time augmentation, averaging and compiling."""
    while True:
        if is_model_wrapper(model) or isinstance(model, (BaseTTAModel, BaseAveragedModel)):
            model = model.module
        elif isinstance(getattr(model, '_orig_mod', None), nn.Module):
            model = model._orig_mod
        else:
            return model


def bare_name(name: str) -> str:
    """The name of a weight without what wrappers put before it."""
    while prefix := next((prefix for prefix in _PREFIXES if name.startswith(prefix)), None):
        name = name.removeprefix(prefix)
    return name.replace('_fsdp_wrapped_module.', '')
