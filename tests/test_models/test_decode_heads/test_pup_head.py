import pytest
import torch
from torch.testing import assert_close

from mlore_mm.models.decode_heads import PUPHead
from mlore_mm.models.features import Features
from mlore_mm.models.layers.pup_decoder import double
from tests.mlore_models import TASKS


def build(**options) -> PUPHead:
    torch.manual_seed(0)
    return PUPHead(TASKS, 6, embed_dims=4, **options)


@pytest.fixture
def feats():
    torch.manual_seed(1)
    return Features(per_task={name: (torch.randn(2, 6, 2, 4),) for name in TASKS})


def test_task_attention_is_there_in_training_only(feats):
    head = build(tam_levels=[0, 2])
    output = head.train()(feats)
    assert list(output.auxiliary) == ['tam_level0', 'tam_level2']
    assert output.auxiliary['tam_level0']['depth'].shape[-2:] == (4, 8)
    assert output.logits['depth'].shape[-2:] == (32, 64)
    assert head.required_tasks(['depth']) == list(TASKS)
    head.eval()
    assert not head(feats).auxiliary
    assert head.required_tasks(['depth']) == ['depth']
    only = Features(per_task={'depth': feats.of('depth')})
    assert_close(head(only, ['depth']).logits['depth'], head(feats).logits['depth'])


def test_every_task_is_in_the_mask_of_the_others(feats):
    head = build(tam_levels=[1]).train()
    for levels in feats.per_task.values():
        levels[0].requires_grad_()
    head(feats, ['depth']).auxiliary['tam_level1']['depth'].sum().backward()
    assert all(levels[0].grad.abs().sum() > 0 for levels in feats.per_task.values())


def test_mistakes(feats):
    with pytest.raises(ValueError, match=r'among 0, 1 and 2, but got \[3\]'):
        build(tam_levels=[3])
    odd = Features(per_task={name: (torch.randn(2, 6, 3, 4),) for name in TASKS})
    with pytest.raises(ValueError, match='but got 6 x 8. At level 0 that needs an even number of patches'):
        build(tam_levels=[0]).train()(odd)


def test_maps_are_doubled_between_pixel_centres():
    """1 and 5 become 1, 2, 4, 5: new pixels lie a quarter of the way to the neighbour, and the border stays."""
    assert double(torch.tensor([[[[1.0, 5.0]]]]))[0, 0].tolist() == [[1, 2, 4, 5]] * 2
