import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from mlore_mm.utils.vectors import lengths, unit_vectors


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_they_are_those_of_pytorch(dtype):
    vectors = 10 * torch.randn(2, 3, 4, 5, dtype=dtype)
    vectors[:, :, 0, 0] = 0
    assert_close(lengths(vectors), torch.linalg.vector_norm(vectors, dim=1, keepdim=True))
    assert_close(unit_vectors(vectors), F.normalize(vectors, dim=1))
    assert_close(unit_vectors(vectors.flatten(2), dim=1), F.normalize(vectors.flatten(2), dim=1))


def test_gradients_are_finite_and_those_of_pytorch():
    vectors = torch.randn(3, 4, 5)
    vectors[:, 0, 0] = 0
    weights, gradients = torch.randn(3, 4, 5), []
    for function in (lambda v: unit_vectors(v, dim=0), lambda v: F.normalize(v, dim=0)):
        leaf = vectors.clone().requires_grad_()
        (function(leaf) * weights).sum().backward()
        gradients.append(leaf.grad)
    assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-5)
