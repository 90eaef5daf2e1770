import pytest
import torch
from torch.testing import assert_close

from mlore_mm.models.decode_heads import PUPHead
from mlore_mm.models.features import Features
from mlore_mm.models.layers.pup_decoder import double
from mlore_mm.models.layers.task_attention import TaskAttention
from tests.mlore_models import TASKS, randomise


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


def test_a_decoder_is_its_definition():
    """Norm over channels; three of the four convolutions follow a doubling, and so do the logits."""
    decoder, x = build().eval().decoders['depth'], torch.randn(2, 6, 2, 3)
    wanted = decoder.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    maps = []
    for i in range(4):
        wanted = decoder.norms[i](decoder.convs[i](double(wanted) if i else wanted)).relu()
        maps.append(wanted)
    logits, features = decoder(x)
    assert_close(features, maps)
    assert_close(logits, double(decoder.predict(wanted)))


def test_task_attention_is_its_definition():
    """Five tasks: two are weighted by half of B each, the three others by a third of 1 - B."""
    attention = TaskAttention(dict(a=1, b=2, c=3, d=1, e=1), 4).eval()
    maps = {name: torch.randn(2, 4, 8, 4) for name in 'abcde'}
    randomise(attention)
    b = attention.balance_out(attention.balance_in(torch.cat(list(maps.values()), dim=1)).relu()).sigmoid()
    weighted = [*(maps[name] * b / 2 for name in 'ab'), *(maps[name] * (1 - b) / 3 for name in 'cde')]
    z = attention.gather(torch.cat(weighted, dim=1)).relu()
    z = attention.down[1](attention.down[0](z).relu()).relu()
    assert z.shape[-2:] == (2, 1)
    mask = attention.up[1](attention.up[0](z).relu()).sigmoid()
    joined = torch.cat([x * (1 + mask) for x in maps.values()], dim=1)
    wanted = {name: attention.predict[name](attention.features[name](joined).relu()) for name in 'ac'}
    found = attention(maps, ['c', 'a'])
    assert_close(found, wanted)
    for side in (1, 2):
        with pytest.raises(ValueError, match='halves its maps twice'):
            attention({name: x.narrow(side + 1, 0, 2) for name, x in maps.items()}, ['a'])


def test_the_order_of_tasks_in_the_mask():
    """The published one, whatever the model's; tasks that it does not name follow."""
    assert build(tam_levels=[0]).attention['0'].order == ['semseg', 'normals', 'edge', 'depth']
    mine = build(tam_levels=[0], task_order=['depth', 'nothing'])
    assert mine.attention['0'].order == ['depth', 'semseg', 'normals', 'edge']


def test_one_task_is_kept(feats):
    head = build(tam_levels=[0, 1]).eval()
    wanted = head(feats, ['depth']).logits
    assert head.keep_task('depth') == dict(tam_levels=())
    assert head.auxiliary_groups == ()
    assert head.train().required_tasks(['depth']) == ['depth']
    assert_close(head.eval()(feats).logits, wanted)


def test_auxiliary_tasks_are_named():
    assert build(aux_tasks=['depth']).aux_tasks == ['depth']
