"""The mixture of a MLoRE block: its definition by hand, its forms, and weights from before it had a class."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mlore_mm.models.layers import ChosenMixture, FoldedMixture, LowRankMixture, MLoREBlock, WideMixture
from mlore_mm.models.layers.task_router import BlockRouting
from mlore_mm.registry import MODELS
from tests.mlore_models import TASKS, randomise
from tests.shared import REPO

NAMES = ('semseg', 'normals')


@pytest.fixture
def block():
    block = MLoREBlock(NAMES, 8, [3, 1, 2], 2, (3, 4), dict(top_k=2))
    randomise(block)
    return block.eval()


def test_definition_by_hand():
    """Convolutions that multiply by a number, on one pixel of ones: y = 2 (3 (g_1 5 + g_2 7) + m 11 + 13)."""
    block = MLoREBlock(['depth'], 4, [1, 1], 1, (1, 1), dict(top_k=2)).eval()
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    block.generic_conv.weight.data[0, 0, 1, 1] = 13.0
    block.experts.reduce.weight.data[:, 0, 1, 1] = 1.0
    block.experts.expand.data[0] = torch.tensor([5.0, 7.0])
    block.task_expert['depth'].reduce.weight.data[0, 0, 1, 1] = 1.0
    block.task_expert['depth'].expand.weight.data[0, 0] = 11.0
    for norms, scale in ((block.norm_experts, 3.0), (block.norm, 2.0)):
        norms['depth'].eps = 0.0
        norms['depth'].weight.data.fill_(scale)
    gates, m = torch.tensor([[[0.25, 0.5]]]), torch.tensor([[0.1]])
    routing = BlockRouting(block.router.gate(gates)._replace(gates=gates), m)
    y = LowRankMixture(block.parts)(torch.ones(1, 1, 4, 1, 1), routing, ['depth'])
    wanted = 2 * (3 * (0.25 * 5 + 0.5 * 7) + 0.1 * 11 + 13)
    assert_close(y.flatten(), torch.tensor([wanted, 0, 0, 0]))


@pytest.mark.parametrize('tasks', [NAMES, ('normals',)])
def test_every_form_equals_the_definition(block, tasks):
    u = torch.randn(len(tasks), 2, 8, 3, 4)
    with torch.no_grad():
        routing = block.router(u, tasks)
        wanted = LowRankMixture(block.parts)(u, routing, tasks)
        for form in (
            WideMixture(block.parts),
            ChosenMixture(block.parts),
            FoldedMixture.of_parts(block.parts, tasks, precompute=False),
            FoldedMixture.of_parts(block.parts, NAMES, precompute=True),
        ):
            assert_close(form(u, routing, tasks), wanted, atol=1e-4, rtol=1e-4, msg=lambda m, f=form: f'{f}: {m}')


@pytest.mark.parametrize('form', ['auto', 'literal', 'wide', 'folded'])
def test_block_is_the_equation_around_the_mixture(block, form):
    x = torch.randn(1, 2, 8, 3, 4)
    with torch.no_grad():
        u = block.conv_in(x, NAMES)
        y = LowRankMixture(block.parts)(u, block.router(u, NAMES), NAMES)
        wanted = block.conv_out(nn.functional.gelu(y), NAMES)
        block.form = form
        assert_close(block(x, NAMES), wanted, atol=1e-4, rtol=1e-4)


def test_chosen_form(block):
    """The definition in training as well where it is asked for; folded in evaluation without gradients only."""
    u = torch.randn(2, 2, 8, 3, 4)

    def chosen(form):
        block.form = form
        return type(block.choose_mixture(u, NAMES))

    with torch.no_grad():
        assert [chosen(form) for form in ('literal', 'wide', 'folded')] == [LowRankMixture, WideMixture, FoldedMixture]
    assert [chosen(form) for form in ('literal', 'folded')] == [LowRankMixture, WideMixture]
    with pytest.raises(ValueError, match="one of auto, literal, wide, folded, but got 'fast'"):
        chosen('fast')


def test_weights_from_before():
    """A file of both layouts, as trained and deployed, written when the block computed its mixture itself."""
    stored = torch.load(REPO / 'tests' / 'data' / 'mlore' / 'before_mixture.pth', weights_only=True)
    for key in ('weights', 'deployed'):
        head = MODELS.build(
            dict(
                type='MLoREDecodeHead',
                tasks={name: TASKS[name] for name in NAMES},
                in_channels=[6],
                embed_dims=8,
                ranks=[3, 1, 2],
                task_rank=2,
                top_k=2,
                grid=(2, 3),
                deploy=key == 'deployed',
            )
        ).eval()
        head.load_state_dict(stored[key])
        with torch.no_grad():
            assert_close(head((stored['features'],)).logits, stored['logits'], atol=1e-4, rtol=1e-4)
