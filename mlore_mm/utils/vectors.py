"""Lengths of the vectors in a map.

By the sum of squares: PyTorch's own norm is slow on a CPU over a dimension that is not the last one.
"""

from torch import Tensor

_SHORTEST = 1e-12  # as in torch.nn.functional.normalize


def lengths(vectors: Tensor, dim: int = -3) -> Tensor:
    """Euclidean lengths over ``dim``, which stays with one element. Without a gradient where a vector is 0."""
    return vectors.square().sum(dim=dim, keepdim=True).sqrt()


def unit_vectors(vectors: Tensor, dim: int = -3) -> Tensor:
    """Vectors over ``dim`` of length 1; what is shorter than 1e-12 stays shorter."""
    return vectors / vectors.square().sum(dim=dim, keepdim=True).clamp_min(_SHORTEST**2).sqrt()
