"""Where numbers stop being finite."""

import torch
from torch import Tensor, nn


def is_finite(x: Tensor) -> bool:
    """Whether no element is NaN or infinite; asks the device."""
    return not x.is_floating_point() or bool(torch.isfinite(x.detach()).all())


def with_nonfinite_of(values: Tensor, source: Tensor) -> Tensor:
    """``values``, but NaN where ``source`` is not finite; for functions that make an infinity an ordinary number."""
    return values + 0 * source


def tensors_in(value) -> list[Tensor]:
    """All tensors in nested lists, tuples, dicts and named tuples."""
    if isinstance(value, Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    if hasattr(value, '__dataclass_fields__'):
        parts = vars(value).values()
    return [tensor for part in parts for tensor in tensors_in(part)]


class FirstNonFinite:
    """Inside, ``name`` becomes that of the first module to return a NaN or an infinity, None while there is none."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.name, self._handles = model, None, []

    def __enter__(self) -> 'FirstNonFinite':
        for name, module in self.model.named_modules():
            if name:
                self._handles.append(module.register_forward_hook(self._check(name)))
        return self

    def _check(self, name: str):
        def check(module, inputs, output) -> None:
            if self.name is None and not all(is_finite(x) for x in tensors_in(output)):
                self.name = name

        return check

    def __exit__(self, *error) -> None:
        for handle in self._handles:
            handle.remove()
