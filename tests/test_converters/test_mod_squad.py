import pytest
import torch

from mlore_mm.converters import MOD_SQUAD, ModSquadTable, convert_to_ours, convert_to_published
from mlore_mm.registry import MODELS
from tests.golden_mod_squad import NAMES, Golden
from tests.mlore_models import randomise

TASKS = dict(b=dict(type='DenseRegression', out_channels=2), a=dict(type='DenseRegression', out_channels=1))


def config(**options) -> dict:
    arch = dict(embed_dims=12, num_layers=2, num_heads=3)
    backbone = dict(type='ModSquadViT', arch=arch, img_size=32, attn_experts=4, num_experts=5, top_k=2, **options)
    criterion = dict(type='MultiTaskCriterion', weighting=dict(type='LearnedScaleWeighting'))
    head = dict(type='ModSquadHead', in_channels=12)
    return dict(type='MultiTaskEncoderDecoder', backbone=backbone, decode_head=head, criterion=criterion)


@pytest.mark.parametrize('name', NAMES)
def test_published_weights_there_and_back(name):
    golden = Golden(name)
    ours, left_out = golden.table.to_ours(golden.checkpoint)
    back = golden.table.to_published(dict(reversed(ours.items())))
    assert set(back) == set(golden.checkpoint)
    assert all(torch.equal(back[key], x) for key, x in golden.checkpoint.items() if key not in left_out)
    assert set(left_out) == ({'fc_norm.weight', 'fc_norm.bias'} if name == 'twice_tiny' else set())


@pytest.mark.parametrize('noise', ['none', 'softplus'])
def test_ours_there_and_back(noise):
    model = MODELS.build(dict(config(noise=noise), tasks=TASKS))
    randomise(model)
    state = {key: x for key, x in model.state_dict().items() if not key.endswith('usage.count')}
    table = MOD_SQUAD.for_tasks(list(TASKS))
    published = table.to_published(state)
    rows = 10 if noise == 'softplus' else 5
    assert published['blocks.1.mlp.f_gate.0.0.weight'].shape == (rows, 12)
    gate = model.backbone.layers[1].mlp.router.weight['b']  # the first task, though the second by name
    assert torch.equal(published['blocks.1.mlp.f_gate.0.0.weight'][:5], gate.t())
    assert published['blocks.0.attn.q_proj.experts.w'].shape == (4, 12, 8)
    assert torch.equal(published['task_embedding'][0, 1], model.backbone.task_embedding['a'])
    ours, _ = table.to_ours(published)
    assert set(ours) == set(model.state_dict())
    assert all(torch.equal(ours[key], x) for key, x in state.items())


def test_files(tmp_path):
    model = MODELS.build(dict(config(), tasks=TASKS))
    published = MOD_SQUAD.for_tasks(list(TASKS)).to_published(model.state_dict())
    file = dict(AWL=dict(params=published.pop('AWL.params')), model=published)
    torch.save(file, tmp_path / 'published.pth')
    (tmp_path / 'config.py').write_text(f'tasks = {TASKS!r}\nmodel = {config()!r}\n')
    files = [str(tmp_path / name) for name in ('published.pth', 'ours.pth', 'back.pth', 'config.py')]
    convert_to_ours('mod_squad', files[0], files[1], files[3])
    convert_to_published('mod_squad', files[1], files[2])
    back = torch.load(files[2], weights_only=True)
    assert torch.equal(back['AWL']['params'], file['AWL']['params'])
    assert all(torch.equal(back['model'][key], x) for key, x in published.items())


def test_another_number_of_tasks():
    state = {'task_embedding': torch.zeros(1, 3, 12)}
    with pytest.raises(ValueError, match='has 3 tasks, but there are 2 of them'):
        ModSquadTable(['a', 'b']).to_ours(state)


def test_tasks_that_are_called_by_numbers_come_in_their_order():
    """A published file knows positions only; of twelve tasks '10' is not the second."""
    state = {f'backbone.task_embedding.{i}': torch.full((2,), float(i)) for i in reversed(range(12))}
    assert MOD_SQUAD.to_published(state)['task_embedding'][0, :, 0].tolist() == list(range(12))


@pytest.mark.parametrize('images', [True, False])
def test_the_norm_of_whole_images_is_kept_where_a_task_uses_it(images):
    state = {'task_embedding': torch.zeros(1, 1, 2), 'norm.weight': torch.ones(2), 'norm.bias': torch.zeros(2)}
    state |= {'fc_norm.weight': torch.ones(2), 'fc_norm.bias': torch.zeros(2)}
    state |= {f'task_heads.0.{0 if images else 1}.weight': torch.ones(2)}
    ours, left_out = ModSquadTable(['a']).to_ours(state)
    assert ('decode_head.image_norm.weight' in ours) is images
    assert sorted(left_out) == [] if images else ['fc_norm.bias', 'fc_norm.weight']
    back = ModSquadTable(['a']).to_published(ours)
    assert set(back) == set(state)
    assert all(torch.equal(back[key], x) for key, x in state.items())
