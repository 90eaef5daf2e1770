"""Parts of a model that stay in full precision under AMP."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def without_autocast(x: Tensor) -> AbstractContextManager:
    """Switches autocast off on the device of ``x``; routers decide in full precision, or small margins flip."""
    # The meta device, on which shapes are counted, has no autocast. Where it is off anyway nothing is said, since an
    # exported graph that says so cannot be stored for any size.
    device = 'cpu' if x.is_meta else x.device.type
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()
