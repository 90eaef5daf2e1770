"""Parts of a model that stay in full precision under AMP."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor


def without_autocast(x: Tensor) -> AbstractContextManager:
    """Switches autocast off on the device of ``x``; routers decide in full precision, or small margins flip."""
    # The meta device, on which shapes are counted, has no autocast.
    return torch.autocast('cpu' if x.is_meta else x.device.type, enabled=False)
