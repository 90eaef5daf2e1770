"""The command line between published checkpoints and ours, on a tiny model."""

import runpy
from dataclasses import dataclass

import pytest
import torch
from mmengine.config import Config

from mlore_mm.converters import INVPT, published
from mlore_mm.converters import SYSTEMS as TABLES
from mlore_mm.converters.mlore import mm_to_official, official_to_mm
from mlore_mm.converters.mlore_files import _explain, _names, _number
from mlore_mm.converters.mlore_layout import MLoRELayout, _resolve_grid, differences, fitting_configs, read_layout
from mlore_mm.registry import MODELS
from mlore_mm.tasks import bind_tasks
from tests.mlore_models import randomise
from tests.shared import REPO
from tests.systems import SYSTEMS

RANKS = [5, 2, 7, 3]  # not sorted
CONFIG = f"""
default_scope = 'mlore_mm'
tasks = dict(semseg=dict(type='SemSeg', out_channels=5), depth=dict(type='Depth'))
model = dict(
    type='MultiTaskEncoderDecoder',
    backbone=dict(type='PlainViT', arch=dict(embed_dims=16, num_layers=4, num_heads=2), img_size=(32, 48)),
    decode_head=dict(type='MLoREDecodeHead', in_channels=[16] * 4, embed_dims=8, ranks={RANKS}, task_rank=3, top_k=2,
                     grid=(2, 3)))
"""


@pytest.fixture
def tiny(tmp_path):
    """Config path, a model of it, and its published checkpoint with the unused parts of a released file."""
    path = tmp_path / 'tiny.py'
    path.write_text(CONFIG)
    model = MODELS.build(bind_tasks(Config.fromfile(path)).model)
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.normal_()
    official = mm_to_official(model.state_dict(), RANKS)
    unused = {
        'module.aux_heads.semseg.linear_pred.weight': torch.zeros(5, 8, 1, 1),
        'module.backbone.q_fuse.0.weight': torch.zeros(2),
        'module.backbone.classify_route_1.weight': torch.zeros(2),
    }
    torch.save(dict(model={**official, **unused}, epoch=3, iter_count=40), tmp_path / 'official.pth')
    return str(path), model, official, tmp_path


@dataclass
class Result:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(capsys):
    """The tool in this process, with its exit status and what it printed."""
    tool = runpy.run_path(str(REPO / 'tools' / 'model_converters' / 'mlore2mm.py'))

    def call(*args) -> Result:
        status = 0
        try:
            tool['main']([str(x) for x in args])
        except SystemExit as stop:
            status = stop.code
        return Result(status, *capsys.readouterr())

    return call


def test_command_line_there_and_back(tiny, run):
    config, model, official, folder = tiny
    result = run(folder / 'official.pth', folder / 'new' / 'ours.pth', '--config', config)
    assert result.returncode == 0, result.stderr
    out = result.stdout
    assert 'D=8, 4 stages, 4 experts of ranks [5, 2, 7, 3], task rank 3' in out
    assert 'tasks: semseg (5), depth (1)' in out
    for name in ('aux_heads', 'q_fuse', 'classify_route_1'):
        assert name in out
    ours = torch.load(folder / 'new' / 'ours.pth', weights_only=True)
    assert ours['meta']['tasks'] == ['semseg', 'depth']
    assert ours['meta']['iter'] == 40
    assert [p.name for p in (folder / 'new').iterdir()] == ['ours.pth']
    for value in model.state_dict().values():
        value.zero_()
    model.load_state_dict(ours['state_dict'], strict=True)

    run(folder / 'new' / 'ours.pth', folder / 'back.pth', '--reverse')
    back = torch.load(folder / 'back.pth', weights_only=True)
    assert (back['epoch'], back['iter_count'], set(back['model'])) == (3, 40, set(official))
    assert all(torch.equal(back['model'][key], value) for key, value in official.items())


def test_our_own_checkpoint_needs_its_config(tiny, run):
    config, model, official, folder = tiny
    torch.save(dict(state_dict=model.state_dict(), meta=dict(tasks=['semseg', 'depth'])), folder / 'trained.pth')
    result = run(folder / 'trained.pth', folder / 'out.pth', '--reverse')
    assert result.returncode == 1
    assert 'give the config' in result.stderr
    run(folder / 'trained.pth', folder / 'out.pth', '--reverse', '--config', config)
    back = torch.load(folder / 'out.pth', weights_only=True)['model']
    assert all(torch.equal(back[key], value) for key, value in official.items())


def test_disagreements_with_the_config_are_listed(tiny, run):
    config, _, official, folder = tiny
    (folder / 'other.py').write_text(CONFIG.replace(str(RANKS), '[2, 3, 5, 7]'))
    result = run(folder / 'official.pth', folder / 'out.pth', '--config', folder / 'other.py')
    assert result.returncode == 1
    assert not (folder / 'out.pth').exists()
    assert 'ranks: checkpoint [5, 2, 7, 3], config [2, 3, 5, 7]' in result.stderr
    layout = read_layout(official, config=bind_tasks(Config.fromfile(config)))
    reordered = CONFIG.replace("semseg=dict(type='SemSeg', out_channels=5), depth", 'depth').replace(
        "type='Depth')", "type='Depth'), semseg=dict(type='SemSeg', out_channels=5)"
    )
    (folder / 'other.py').write_text(reordered)
    (line,) = differences(layout, bind_tasks(Config.fromfile(folder / 'other.py')))
    assert line.startswith('tasks, their order and channels: checkpoint')
    (folder / 'other.py').write_text('model = dict()')
    assert fitting_configs(layout, folder) == [folder / 'tiny.py']


def test_grid_has_to_be_known(tiny):
    _, _, official, _ = tiny
    with pytest.raises(ValueError, match='6 positions are not a square grid.*--grid H W'):
        read_layout(official)
    for pixels, grid in ((1024, (32, 32)), (1008, (28, 36)), (9, (3, 3))):
        assert _resolve_grid(pixels, None, None) == grid
    config = Config(dict(model=dict(module=dict(decode_head=dict(grid=[2, 3])))))
    assert _resolve_grid(6, None, config) == (2, 3)
    assert _resolve_grid(9, None, config) == (3, 3)  # that of the config does not fit
    assert _resolve_grid(6, [6, 1], config) == (6, 1)
    with pytest.raises(ValueError, match='--grid 2 4 does not fit: the checkpoint has 6 positions'):
        read_layout(official, grid=(2, 4))
    assert read_layout(official, grid=(3, 2)).grid == (3, 2)


def test_unknown_keys_stop_the_conversion(tiny):
    *_, official, _ = tiny
    with pytest.raises(ValueError, match=r'1 keys of the checkpoint are unknown.*module\.backbone\.surprise'):
        official_to_mm({**official, 'module.backbone.surprise': torch.zeros(1)})
    with pytest.raises(ValueError, match=r'1 keys have no counterpart.*backbone\.cls_token'):
        mm_to_official({'backbone.cls_token': torch.zeros(1)}, RANKS)
    incomplete = {k: v for k, v in official.items() if k != 'module.backbone.MLoRE_2.1.lora_list_1.2.M.bias'}
    with pytest.raises(
        ValueError, match=r'experts of decode_head\.stages\.1\.1\.experts are incomplete.*2, .M., .bias'
    ):
        official_to_mm(incomplete)


class Evil:
    def __reduce__(self):
        return print, ('this code ran',)


def test_files_that_would_run_code_are_refused(tiny, run):
    folder = tiny[-1]
    torch.save(dict(model={'a': torch.zeros(1)}, note=Evil()), folder / 'evil.pth')
    result = run(folder / 'evil.pth', folder / 'out.pth')
    assert result.returncode == 1
    assert 'was not read: it holds' in result.stderr
    assert 'this code ran' not in result.stdout


def test_other_files_are_refused(tiny, run):
    folder = tiny[-1]
    torch.save(dict(model={'module.backbone.norm.weight': torch.zeros(1)}), folder / 'vit.pth')
    result = run(folder / 'vit.pth', folder / 'out.pth')
    assert 'not a published MLoRE checkpoint' in result.stderr
    assert 'There is no checkpoint' in run(folder / 'none.pth', folder / 'out.pth').stderr


@pytest.mark.parametrize('name', ['vitl_pascal', 'vitb_pascal', 'vits_pascal', 'vitl_nyud', 'vitb_nyud'])
def test_published_sizes_name_their_config(name):
    """Shapes only: a state dict on the meta device, as the released files are too large for a test."""
    path = REPO / 'configs' / 'mlore' / f'mlore_{name}.py'
    layout = read_layout(published_shapes(bind_tasks(Config.fromfile(path))))
    assert fitting_configs(layout, path.parent) == [path]


def published_shapes(config) -> dict:
    """The keys that the layout is read from, for a config."""
    model, head = config.model, config.model.decode_head
    dims, depth = dict(small=(384, 12), base=(768, 12), large=(1024, 24))[model.backbone.arch]
    positions = head.grid[0] * head.grid[1]
    shapes = {
        'backbone.pos_embed': (1, positions + 1, dims),
        'backbone.patch_embed.proj.weight': (dims, 3, 16, 16),
        **{f'backbone.blocks.{i}.norm1.weight': (dims,) for i in range(depth)},
        **{f'backbone.fea_fuse.{i}.weight': (head.embed_dims, dims, 1, 1) for i in range(4)},
        **{
            f'backbone.MLoRE_1.0.lora_list_1.{i}.W.weight': (r, head.embed_dims, 3, 3) for i, r in enumerate(head.ranks)
        },
    }
    channels = dict(semseg=40 if 'depth' in model.tasks else 21, human_parts=7, sal=2, normals=3, edge=1, depth=1)
    for task in model.tasks:
        shapes[f'backbone.MLoRE_1.0.router_1.{task}.0.convsp.weight'] = (1, positions)
        shapes[f'backbone.MLoRE_1.0.conv2.{task}.W.weight'] = (head.task_rank, head.embed_dims, 3, 3)
        shapes[f'heads.{task}.linear_pred.weight'] = (channels[task], head.embed_dims, 1, 1)
    return {f'module.{key}': torch.empty(shape, device='meta') for key, shape in shapes.items()}


def test_pieces_have_their_own_memory():
    """Views of one large tensor would each be written with the whole of it."""
    ours = {'decode_head.stages.0.0.experts.reduce.weight': torch.zeros(5, 4, 3, 3)}
    pieces = mm_to_official(ours, (2, 3))
    assert len(pieces) == 2
    assert all(x.untyped_storage().nbytes() == x.numel() * 4 for x in pieces.values())


def test_invpt_there_and_back_with_what_it_never_uses():
    model = MODELS.build(SYSTEMS['invpt'].config())
    randomise(model)
    state = model.state_dict()
    published = INVPT.to_published(state)
    width, last = len(state[f'decode_head.mix.{list(model.tasks)[0]}.bias']), len(state['decode_head.skips.1.bias'])
    never = 'module.multi_task_decoder.invpt.norm_mt.weight'
    assert published[never].tolist() == [0] * len(model.tasks) * last
    assert published['module.multi_task_decoder.invpt.redu_chan.0.0.weight'].shape == (width, width, 1, 1)
    names = INVPT.to_published(dict.fromkeys(state, 'a name'))
    assert never not in names
    ours, left_out = INVPT.to_ours(published)
    assert set(ours) == set(state)
    assert all(torch.equal(ours[key], value) for key, value in state.items())
    assert never.removeprefix('module.') in {key.removeprefix('module.') for key in left_out}


def test_the_layout_in_words_and_in_a_file():
    layout = MLoRELayout(16, 4, 8, dict(depth=1), 12, (3, 5), 2, 4, (2, 3))
    assert layout.describe().splitlines() == [
        'encoder: 4 blocks of width 16, input 16 x 24 (grid 2 x 3)',
        'decoder: D=12, 4 stages, 2 experts of ranks [3, 5], task rank 2',
        'tasks: depth (1)',
    ]
    assert (layout.to_meta()['ranks'], layout.to_meta()['tasks'], layout.to_meta()['grid']) == (
        [3, 5],
        dict(depth=1),
        [2, 3],
    )


def test_a_grid_that_fits_no_size_and_parts_that_are_missing(tiny):
    *_, official, _ = tiny
    key = 'module.backbone.pos_embed'
    with pytest.raises(ValueError, match='The position embedding has 5 patches, the router 6 pixel weights'):
        read_layout({**official, key: official[key][:, :-1]}, grid=(2, 3))
    for part in ('heads.', 'lora_list_1', 'pos_embed'):
        with pytest.raises(ValueError, match='not a published MLoRE checkpoint: it lacks'):
            read_layout({k: v for k, v in official.items() if part not in k}, grid=(2, 3))


@pytest.mark.parametrize(
    ('old', 'new', 'line'),
    [
        ('embed_dims=8', 'embed_dims=9', 'model.decode_head.embed_dims: checkpoint 8, config 9'),
        ('task_rank=3', 'task_rank=2', 'model.decode_head.task_rank: checkpoint 3, config 2'),
        ('grid=(2, 3)', 'grid=(3, 2)', 'model.decode_head.grid: checkpoint (2, 3), config (3, 2)'),
        ('num_layers=4', 'num_layers=5', 'encoder depth (model.backbone.arch): checkpoint 4, config 5'),
        (
            'img_size=(32, 48)',
            'img_size=48',
            'grid (model.backbone.img_size / patch_size): checkpoint (2, 3)',
        ),
        (
            '[16] * 4',
            '[16] * 3',
            'stages (model.decode_head.in_channels): checkpoint [16, 16',
        ),
        (
            "type='PlainViT'",
            "type='mmseg.ResNet', depth=18",
            'model: PlainViT and MLoREDecodeHead are needed, not mm',
        ),
    ],
)
def test_each_difference_is_named(tiny, old, new, line):
    config, _, official, folder = tiny
    layout = read_layout(official, config=bind_tasks(Config.fromfile(config)))
    assert CONFIG.count(old) == 1
    (folder / 'other.py').write_text(CONFIG.replace(old, new))
    (found,) = differences(layout, bind_tasks(Config.fromfile(folder / 'other.py')))
    assert found.startswith(line)


def test_other_ranks_do_not_go_back(tiny, run):
    config, model, _, folder = tiny
    torch.save(dict(state_dict=model.state_dict(), meta={}), folder / 'trained.pth')
    (folder / 'other.py').write_text(CONFIG.replace(str(RANKS), '[2, 3, 5, 8]'))
    result = run(folder / 'trained.pth', folder / 'out.pth', '--reverse', '--config', folder / 'other.py')
    assert 'has experts of 17 ranks in all, but ranks=[2, 3, 5, 8] add up to 18' in result.stderr


def test_what_is_told_of_a_file():
    left_out = dict(a='r', b='r', c='r', d='r', e='s')
    assert _explain(left_out) == ['left out 4 tensors, r: a, b, c, ...', 'left out 1 tensors, s: e']
    assert _names(['x', 'y']) == 'x, y'
    assert _names([]).startswith('none in configs/mlore fits')
    assert [_number(file, 'epoch', 'f') for file in (dict(model=1, epoch=3), dict(epoch=3), dict(model=1))] == [3, 0, 0]
    with pytest.raises(ValueError, match="f says 'epoch' is 'x', where a number"):
        _number(dict(model=1, epoch='x'), 'epoch', 'f')


# ---- the other systems -----------------------------------------------------------------------------------------
@pytest.mark.parametrize('name', sorted({'pad_net', 'mti_net', 'task_prompter', 'mtan'} & {*SYSTEMS}))
def test_systems_there_and_back(name):
    model = MODELS.build(SYSTEMS[name].config())
    randomise(model)
    state = {key: x for key, x in model.state_dict().items() if not key.startswith('criterion.')}
    there = TABLES[name].to_published(state)
    assert all(key.startswith('module.') for key in there)
    back, left_out = TABLES[name].to_ours(there)
    assert set(back) == set(state)
    assert all(torch.equal(back[key], x) for key, x in state.items())
    assert len(there) - len(left_out) == len(state)


def test_weights_that_do_not_fit_are_counted_by_kind():
    model = torch.nn.BatchNorm1d(2)
    state = {key: x for key, x in model.state_dict().items() if key != 'num_batches_tracked'}
    published.check_fit(state, model, 'x')
    wrong = dict(state, bias=torch.zeros(3), more=torch.zeros(1))
    del wrong['weight']
    message = r'^x: tensors 1 missing, such as weight; 1 surplus, such as more; 1 of another shape, such as bias \(3,'
    with pytest.raises(ValueError, match=message):
        published.check_fit(wrong, model, 'x')


@pytest.mark.parametrize(
    'file', [dict(a=1), dict(model=dict(a=1)), dict(state_dict=dict(a=1)), dict(model=dict(state_dict=dict(a=1)))]
)
def test_weights_of_a_published_file(file):
    def tensors(x):
        return {key: tensors(value) if isinstance(value, dict) else torch.ones(1) for key, value in x.items()}

    assert list(published.published_state(tensors(file))) == ['a']
    for wrong in (file, dict(model={}), [1]):
        with pytest.raises(ValueError, match='x.pth holds no tensors under "model" or "state_dict", nor itself, but'):
            published.published_state(wrong, 'x.pth')


def test_a_converter_that_there_is_not():
    with pytest.raises(ValueError, match=r"No converter is called 'x'; there are \['cross_stitch', "):
        published._table('x')
