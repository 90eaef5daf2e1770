import runpy

import pytest
import torch

from mlore_mm.apis import MultiTaskInferencer, evaluate_model, init_model, load_config
from mlore_mm.apis.analysis import extraction
from mlore_mm.apis.analysis.extraction import Cost, costs_table, experts_table, measure_cost, measure_use
from mlore_mm.apis.deploy.export import export_model
from mlore_mm.apis.deploy.export_check import check_export
from mlore_mm.converters.extract_task import ExtractedTask
from tests.mlore_models import randomise
from tests.shared import REPO
from tests.systems import SYSTEMS as TOYS
from tests.tiny import write_rooms

CONFIG = """
_base_ = ['{repo}/configs/{config}']
data_root = '{data}'
crop_size = (32, 48)
model = dict(backbone=dict(arch=dict(embed_dims=24, num_layers=2), num_experts=5), decode_head=dict(
    in_channels=24, embed_dims=8))
train_dataloader = dict(num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
test_dataloader = val_dataloader
"""
SYSTEMS = dict(m3vit='m3vit/m3vit_tiny_synthrooms_nyud.py', squad='mod_squad/mod-squad_tiny_synthrooms_nyud.py')


@pytest.fixture(scope='module')
def room(tmp_path_factory):
    folder = tmp_path_factory.mktemp('extraction')
    return folder, write_rooms(folder / 'NYUDv2')


@pytest.fixture(scope='module', params=SYSTEMS)
def whole(room, request):
    """Paths of a config and a checkpoint with random weights and, where it is counted, the use of a training."""
    folder, data = room
    config, checkpoint = folder / f'{request.param}.py', folder / f'{request.param}.pth'
    config.write_text(CONFIG.format(repo=REPO.as_posix(), config=SYSTEMS[request.param], data=data))
    model = init_model(str(config))
    randomise(model)
    for name, buffer in model.named_buffers():
        if name.endswith('usage.count'):
            buffer.copy_(torch.tensor([100.0, 1.0, 60, 90, 80, 100])[: buffer.shape[1]].expand_as(buffer))
    torch.save(dict(meta=dict(tasks=list(model.tasks)), state_dict=model.state_dict()), checkpoint)
    return str(config), str(checkpoint)


def test_command(whole, room, tmp_path, capsys):
    """The tool, then everything that is done with a model, on what it wrote."""
    tool = REPO / 'tools/model_converters/extract_task.py'
    options = ['--task', 'depth', '--out', str(tmp_path), '--images', '2', '--threshold', '4']
    runpy.run_path(str(tool))['main']([*whole, *options])
    out = capsys.readouterr().out
    (config,), (checkpoint,) = tmp_path.glob('*_depth.py'), tmp_path.glob('*_depth.pth')
    squad = 'squad' in config.stem
    if squad:
        assert 'backbone/block1/mlp' in out
        assert '4 of 5   0 2 3 4' in out
    rows = {line[:16].strip(): line[16:].split() for line in out.splitlines() if len(line) > 16}
    assert float(rows['parameters, M'][2]) < float(rows['parameters, M'][0]) == float(rows['parameters, M'][1])
    assert float(rows['GMAC'][2]) <= float(rows['GMAC'][1]) < float(rows['GMAC'][0])
    before, after = map(float, rows['RMSE'])
    assert before > 0

    cfg = load_config(str(config), work_dir=str(tmp_path / 'test'))
    assert evaluate_model(cfg, str(checkpoint))['depth/RMSE'] == pytest.approx(after, abs=1e-3)
    photo = f'{room[1]}/images/000.png'
    model = MultiTaskInferencer(str(config), str(checkpoint), device='cpu', show_progress=False)
    (sample,) = model(photo, return_datasamples=True)
    assert list(sample.pred.keys()) == ['depth']
    pytest.importorskip('onnxruntime')
    path = tmp_path / 'depth.onnx'
    metadata = export_model(init_model(str(config), str(checkpoint)), path, 'onnx')
    assert check_export(path, 'onnx', model.model, metadata, [photo]).passed


def test_use_on_images_is_a_share_of_the_tokens(whole):
    model = init_model(*whole)
    for name, share in measure_use(model, 'semseg', 2).items():
        part = model.backbone.mixtures()[name]
        assert share.shape == (part.mixture.num_experts,)
        assert float(share.sum()) == pytest.approx(part.router.gate.top_k)


def test_table():
    costs = dict(whole=Cost(2_000_000, 3_500_000_000, 0.25), part=Cost(500_000, 1_000_000_000, 0.125))
    lines = costs_table(costs, 'RMSE', [0.5]).splitlines()
    assert [line.split() for line in lines[1:]] == [
        ['parameters,', 'M', '2.000', '0.500'],
        ['GMAC', '3.500', '1.000'],
        ['ms', 'per', 'image', '250.0', '125.0'],
        ['RMSE', '0.5000'],
    ]
    assert lines[4].endswith('0.5000')
    assert costs_table(costs).splitlines() == lines[:4]
    assert [line[16 + 20 * i : 36 + 20 * i].strip() for line in lines[:1] for i in range(2)] == ['whole', 'part']


def test_table_of_the_experts():
    (line,) = experts_table(ExtractedTask('depth', None, {}, {'backbone/block1': ([0, 12], 16)})).splitlines()
    assert line == 'backbone/block1            2 of 16  0 12'


def test_time_of_an_image_is_measured_after_three(monkeypatch):
    """Of 7 pictures of noise with 4 a second; an encoder without experts has no use of them."""
    model, asked = TOYS['pad_net'].build(), {}

    def speed(model, batches, tasks, warmup):
        asked.update(sizes=[batch['inputs'][0].shape for batch in batches], tasks=tasks, warmup=warmup)
        return 4.0

    monkeypatch.setattr(extraction, 'images_per_second', speed)
    monkeypatch.setattr(extraction, 'build_for_counting', lambda cfg, size: (cfg, size))
    monkeypatch.setattr(extraction, 'count_macs', lambda built, size, tasks: dict(total=12 if size == (32, 64) else 0))
    model.cfg.crop_size = (32, 64)
    model.cfg.model.backbone = {}
    cost = measure_cost(model, model.cfg, ['depth'], images=4)
    assert (cost.macs, cost.seconds, cost.parameters) == (12, 0.25, sum(p.numel() for p in model.parameters()))
    assert asked == dict(sizes=[(3, 32, 64)] * 7, tasks=['depth'], warmup=3)
    assert measure_use(model, 'depth', 2) == {}
