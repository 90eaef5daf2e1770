import pytest
import torch

from mlore_mm.converters import M3VIT, convert_to_ours, convert_to_published
from mlore_mm.converters.rank_files import read_rank_files
from mlore_mm.tasks import PUBLISHED_ORDER
from tests.golden_m3vit import NAMES, Golden
from tests.shared import REPO, shared_path

COMPACT = Golden('three_tam_dense', folder=REPO / 'tests' / 'data' / 'm3vit')


def check_round_trip(golden: Golden) -> None:
    ours, left_out = M3VIT.to_ours(golden.checkpoint)
    assert not left_out
    back = M3VIT.to_published(dict(reversed(ours.items())))
    assert set(back) == set(golden.checkpoint)
    assert all(torch.equal(back[key], x) for key, x in golden.checkpoint.items())


@pytest.mark.parametrize('name', NAMES)
def test_there_and_back(name):
    check_round_trip(Golden(name))


def test_there_and_back_without_the_reference_data():
    check_round_trip(COMPACT)


def test_command_line_functions(tmp_path):
    torch.save(dict(state_dict=COMPACT.checkpoint, epoch=3), tmp_path / 'published.pth')
    (tmp_path / 'config.py').write_text(f'tasks = {COMPACT.tasks!r}\nmodel = {config_without_tasks()!r}\n')
    files = [str(tmp_path / name) for name in ('published.pth', 'ours.pth', 'back.pth', 'config.py')]
    assert 'human_parts' in convert_to_ours('m3vit', files[0], files[1], files[3])
    assert torch.load(files[1], weights_only=True)['meta'] == dict(tasks=list(COMPACT.tasks), system='m3vit', epoch=3)
    convert_to_published('m3vit', files[1], files[2])
    back = torch.load(files[2], weights_only=True)['model']
    assert all(torch.equal(back[key], x) for key, x in COMPACT.checkpoint.items())


def config_without_tasks() -> dict:
    return {key: value for key, value in COMPACT.config().items() if key != 'tasks'}


def test_files_of_several_gpus():
    whole = Golden('conditioned').checkpoint
    joined = read_rank_files(shared_path('golden/m3vit/conditioned_ranks'))
    assert set(joined['state_dict']) == set(whole)
    assert all(torch.equal(joined['state_dict'][key], x) for key, x in whole.items())


def test_rank_files_have_to_be_complete(tmp_path):
    for rank, state in ((0, dict(a=torch.ones(1), b=torch.zeros(2, 3))), (1, dict(b=torch.ones(2, 3)))):
        torch.save(dict(state_dict=state), tmp_path / f'{rank}.pth')
    assert read_rank_files(tmp_path)['state_dict']['b'].tolist() == [[0] * 3] * 2 + [[1] * 3] * 2
    torch.save(dict(state_dict=dict(c=torch.ones(1))), tmp_path / '2.pth')
    with pytest.raises(ValueError, match='2.pth holds other tensors'):
        read_rank_files(tmp_path)
    (tmp_path / '2.pth').unlink()
    torch.save(dict(state_dict=dict(b=torch.ones(1), d=torch.ones(1))), tmp_path / '1.pth')
    with pytest.raises(ValueError, match='1.pth holds other tensors'):  # than the first
        read_rank_files(tmp_path)
    (tmp_path / 'notes.pth').touch()
    torch.save(dict(state_dict=dict(b=torch.ones(1))), tmp_path / '2.pth')
    (tmp_path / '1.pth').unlink()
    with pytest.raises(ValueError, match='0.pth to N-1.pth'):
        read_rank_files(tmp_path)
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match=r'holds the rank files \[\]'):
        read_rank_files(tmp_path / 'empty')


def test_a_router_without_a_task():
    state = dict(COMPACT.checkpoint)
    state['module.backbone.blocks.1.mlp.gate.3.w_gate'] = torch.zeros(1)
    with pytest.raises(ValueError, match='router of a task without a decoder'):
        M3VIT.to_ours(state)


def test_decoders_of_tasks_that_it_does_not_know():
    with pytest.raises(ValueError, match=r"named \['flow', 'semseg'\], of which .* does not know \['flow'\]"):
        M3VIT.to_ours({f'module.decoders.{task}.norm.weight': 1 for task in ('semseg', 'flow')})


def test_columns_of_tasks_there_and_back():
    tasks = [task for task in PUBLISHED_ORDER if task in ('semseg', 'human_parts')]
    state = {f'decoders.{task}.norm.weight': torch.ones(2) for task in tasks}
    state['backbone.gate_task_represent.fc1.weight'] = torch.arange(6.0).reshape(3, 2)  # a column per task
    ours, _ = M3VIT.to_ours(state)
    for i, task in enumerate(tasks):
        assert ours[f'backbone.task_features.columns.{task}'].tolist() == [i, i + 2, i + 4]
    back = M3VIT.to_published(ours)
    assert all(torch.equal(back[f'module.{key}'], x) for key, x in state.items())
