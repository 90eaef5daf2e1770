"""What a prediction is after it went through a picture."""

from torch import Tensor


def to_bytes(values: Tensor) -> Tensor:
    """Values in 0..1 as they come back from 8 bits, in 0..255: times 255 and cut off, as a cast does."""
    return (values.float() * 255).clamp(0, 255).floor()
