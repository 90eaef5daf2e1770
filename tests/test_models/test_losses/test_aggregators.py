"""What PCGrad, Aligned-MTL and GradDrop do with gradients, worked by hand."""

import torch
from torch.testing import assert_close

from mlore_mm.models.losses import AlignedMTL, PCGrad
from mlore_mm.registry import MODELS
from tests.test_models.test_losses.grams import gram_of, weights


def test_pcgrad_by_hand():
    """(1, 0) and (-1, 1): the first becomes (1, 0) + (-1, 1) / 2, the second (-1, 1) + (1, 0); together (0.5, 1.5)."""
    assert_close(PCGrad().combine(gram_of((1, 0), (-1, 1))), weights(2, 1.5))


def test_pcgrad_leaves_agreeing_tasks_alone():
    gram = gram_of((1, 0, 0), (1, 2, 0), (0, 1, 3), (0, 0, 0))
    assert_close(PCGrad().combine(gram), weights(1, 1, 1, 1))


def test_pcgrad_takes_the_others_in_random_order():
    """Of three gradients, what is left of one depends on which of the others comes first."""
    gram = gram_of((1, 0), (-1, 1), (-1, -2))
    found = {tuple(PCGrad().combine(gram).tolist()) for _ in range(30)}
    assert len(found) > 1


def test_aligned_by_hand():
    """Orthogonal gradients of lengths 3 and 1 come to the length 1, and one that is zero has no say."""
    assert_close(AlignedMTL().combine(gram_of((3, 0), (0, 1))), weights(1 / 3, 1))
    assert_close(AlignedMTL().combine(gram_of((3, 0), (0, 0), (0, 1))), weights(1 / 3, 0, 1))


def test_aligned_of_two_unit_vectors_by_hand():
    """With the cosine c: eigenvalues 1 + c on the sum and 1 - c on the difference, so for c > 0 both weights are
    sqrt((1 - c) / (1 + c)), and for c < 0 they are 1.
    """
    assert_close(AlignedMTL().combine(weights([1, 0.6], [0.6, 1])), weights(0.5, 0.5))
    assert_close(AlignedMTL().combine(weights([1, -0.6], [-0.6, 1])), weights(1, 1))


def test_aligned_gains_as_much_for_every_task():
    """The aligned gradients are orthogonal and equally long, so their sum has the same inner product with each."""
    gradients = torch.randn(4, 9, dtype=torch.float64) * weights(1, 5, 0.3, 20)[:, None]
    values, vectors = torch.linalg.eigh(gradients @ gradients.t())
    aligned = values[0].sqrt() * vectors @ (vectors.t() @ gradients / values.sqrt()[:, None])
    assert_close(aligned @ aligned.t(), values[0] * torch.eye(4, dtype=torch.float64))
    assert_close(AlignedMTL().combine(gradients @ gradients.t()) @ gradients, aligned.sum(dim=0))


def test_aligned_without_any_gradient():
    assert_close(AlignedMTL().combine(gram_of((0, 0), (0, 0))), weights(1, 1))


def test_a_leak_of_all_is_the_sum():
    """Signs that lose are let through whole."""
    surgery, rows = MODELS.build(dict(type='GradDrop', leak=[1.0, 1.0])), torch.randn(2, 2, 3)
    change, _ = surgery.changes([list(rows)], torch.ones(()))
    assert_close(change[0], torch.zeros(2, 3))
