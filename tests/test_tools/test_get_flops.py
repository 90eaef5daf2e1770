"""Counts of multiplications: the published number, counts by hand, and the tools' output."""

import copy
import json
import runpy

import pytest
import torch
from mmengine.config import Config
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.literal_parts import run_literal_in_parts
from mlore_mm.apis.analysis import benchmark
from mlore_mm.apis.analysis.benchmark import images_per_second, loader_batches, random_batches, summary
from mlore_mm.apis.analysis.flops import build_for_counting, count_macs, default_forms, padded_shape, set_form
from mlore_mm.models.backbones import PlainViT
from tests.shared import REPO
from tests.systems import SYSTEMS
from tests.tiny import SINGLE_STAGE, write_rooms, write_tiny

PASCAL = str(REPO / 'configs' / 'mlore' / 'mlore_vitl_pascal.py')


def run(tool, *args):
    runpy.run_path(str(REPO / 'tools' / 'analysis_tools' / f'{tool}.py'))['main']([str(arg) for arg in args])


@pytest.fixture(scope='module')
def vit_large():
    return build_for_counting(Config.fromfile(PASCAL))


def test_published_count(vit_large):
    macs = count_macs(vit_large, (512, 512), forward=run_literal_in_parts)
    assert round(macs['total'] / 1e9, 1) == 826.6
    assert sum(p.numel() for p in vit_large.parameters()) == 407_690_406


def test_counts_by_hand(vit_large):
    """PASCAL ViT-L: D = 452, 15 experts with 1080 channels in all, 32 x 32 pixels."""
    set_form(vit_large, 'wide')
    macs = count_macs(vit_large, (512, 512), ['sal'])
    pixels, d, ranks, special = 1024, 452, 1080, 72
    # Two 1x1 convolutions, generic 3x3, experts and the task's expert: there and back.
    convolutions = 2 * d * d + 9 * d * d + 10 * d * ranks + 10 * d * special
    quarter, logits = d // 4, 2 * 15 + 1
    router = pixels * d * quarter + quarter**2 + pixels * d + d * quarter + 2 * quarter * logits
    bias_of_experts = 15 * d
    assert macs['blocks'] == 8 * (pixels * convolutions + router + bias_of_experts)
    assert macs['project'] == 4 * pixels * 1024 * d
    assert macs['fusion'] == pixels * (4 * d * d + 9 * d * 4)


def test_parts_add_up_to_the_whole(vit_large):
    for form in ('wide', 'folded'):
        set_form(vit_large, form)
        macs = count_macs(vit_large, (512, 512), ['normals', 'edge'])
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            vit_large(torch.zeros(1, 3, 512, 512, device='meta'), tasks=['normals', 'edge'])
        assert macs['total'] == counter.get_total_flops() // 2
    one, two = (count_macs(vit_large, (512, 512), names) for names in (['edge'], ['edge', 'sal']))
    assert two['encoder'] == one['encoder']
    assert two['fusion'] == 2 * one['fusion']


def test_tool(tmp_path, capsys):
    run('get_flops', PASCAL, '--tasks', 'semseg', '--shape', 256, 320, '--out', tmp_path / 'counts.json')
    result = json.loads((tmp_path / 'counts.json').read_text())
    totals = [result['macs'][form]['total'] for form in ('literal', 'wide', 'deploy')]
    assert totals == sorted(totals, reverse=True)
    assert result['shape'] == [256, 320]
    assert f'{totals[0] / 1e9:16.1f}{totals[1] / 1e9:16.1f}{totals[2] / 1e9:16.1f}' in capsys.readouterr().out


def test_tool_on_a_backbone_that_is_not_a_plain_vit(tmp_path, capsys):
    config, _ = write_tiny(tmp_path)
    run('get_flops', config, '--shape', 32, 64, '--form', 'wide', 'deploy')
    assert 'encoder' in capsys.readouterr().out
    with pytest.raises(SystemExit):
        run('get_flops', config, '--shape', 32, 64, '--form', 'literal')
    assert 'on a plain ViT only' in capsys.readouterr().err


def test_other_systems_have_no_literal_form(capsys):
    with pytest.raises(SystemExit):
        run('get_flops', REPO / 'configs/invpt/invpt_tiny_synthrooms_nyud.py', '--form', 'literal')
    assert 'for MLoRE on a plain ViT only, not for InvPTHead' in capsys.readouterr().err


@pytest.mark.parametrize('system', ['fgmoe_style/fgmoe-style', 'invpt/invpt', 'm3vit/m3vit', 'mti_net/mti-net'])
def test_other_systems_have_one_column(capsys, system):
    run('get_flops', REPO / 'configs' / f'{system}_tiny_synthrooms_nyud.py')
    printed = capsys.readouterr().out
    (heading,) = [line for line in printed.splitlines() if line.startswith('GMAC')]
    assert heading.split() == ['GMAC', 'wide']
    counts = {line.split()[0]: float(line.split()[-1]) for line in printed.splitlines()[3:] if line}
    assert counts['total'] > counts['encoder'] > 0


def test_images_per_second(tmp_path, capsys):
    config, checkpoint = write_tiny(tmp_path)
    common = (config, checkpoint, '--random', '--images', 7, '--device', 'cpu', '--work-dir', tmp_path / 'out')
    run('benchmark', *common, '--deploy', '--tasks', 'depth', '--repeat-times', 2)
    (out,) = (tmp_path / 'out').glob('fps_*.json')
    result = json.loads(out.read_text())
    assert (result['form'], result['tasks'], len(result['runs'])) == ('deploy', ['depth'], 2)
    assert min(result['runs']) <= result['average_fps'] <= max(result['runs'])
    with pytest.raises(SystemExit):
        run('benchmark', *common[:4], 5, '--device', 'cpu')
    assert 'there are 5: raise --images' in capsys.readouterr().err


def test_forms_go_by_the_class_and_not_by_its_spelling():
    class OwnViT(PlainViT):
        pass

    def forms(head, backbone):
        return default_forms(Config(dict(model=dict(decode_head=dict(type=head), backbone=dict(type=backbone)))))

    every = ('literal', 'wide', 'deploy')
    assert forms('MLoREDecodeHead', 'PlainViT') == forms('mlore_mm.MLoREDecodeHead', OwnViT) == every
    assert forms('MLoREDecodeHead', 'mmseg.ResNet') == ('wide', 'deploy')
    assert forms('InvPTHead', 'PlainViT') == ('wide',)


def test_speed_is_images_over_seconds_after_the_warm_up(monkeypatch):
    """Three batches of two that take 8, 1 and 3 s; the first one does not count."""
    clock = iter([0, 8, 10, 11, 20, 23] * 2)
    monkeypatch.setattr(benchmark, '_now', lambda device: next(clock))
    model, asked = SYSTEMS['pad_net'].build().eval(), []

    def predict(images, samples, tasks):
        asked.append((tuple(images.shape), tasks, torch.is_grad_enabled(), torch.is_autocast_enabled('cpu')))

    monkeypatch.setattr(model, 'predict', predict)
    assert images_per_second(model, random_batches((32, 64), 3, 2), ['depth'], warmup=1) == 1.0
    assert images_per_second(model, random_batches((32, 64), 3, 2), warmup=0, dtype='bf16') == 0.5
    assert asked == [((2, 3, 32, 64), ['depth'], False, False)] * 3 + [((2, 3, 32, 64), None, False, True)] * 3
    with pytest.raises(ValueError, match='after the first 5, but there are 0'):
        images_per_second(model, [])


def test_noise_for_pictures():
    first, second = random_batches((4, 6), 2, 3)
    assert [tuple(x.shape) for x in first['inputs']] == [(3, 4, 6)] * 3
    assert [(x.ori_shape, x.img_shape) for x in second['data_samples']] == [((4, 6), (4, 6))] * 3
    pixels = torch.stack(first['inputs'] + second['inputs'])
    assert (pixels.dtype, int(pixels.min()) < 20, int(pixels.max()) > 235) == (torch.uint8, True, True)
    assert torch.equal(pixels[0], next(random_batches((4, 6), 1, 1))['inputs'][0])
    assert not torch.equal(pixels[0], pixels[3])


def test_batches_of_the_test_data(tmp_path):
    cfg = Config.fromfile(write_tiny(tmp_path, write_rooms(tmp_path / 'rooms', 5))[0])
    assert [len(batch['inputs']) for batch in loader_batches(cfg, 2, 2)] == [2, 2]
    assert [len(batch['inputs']) for batch in loader_batches(cfg, 9, 3)] == [3, 2]
    assert cfg.test_dataloader.batch_size == 2


def test_mean_median_and_variance_by_hand():
    assert summary([1.0, 2.0, 6.0]) == dict(average_fps=3.0, median_fps=2.0, fps_variance=4.6667)


def test_sizes_are_counted_as_they_are_padded(tmp_path):
    model = build_for_counting(Config.fromfile(write_tiny(tmp_path, more=SINGLE_STAGE)[0]), (64, 96))
    assert padded_shape(model, (33, 64)) == (64, 64)
    assert count_macs(model, (33, 70)) == count_macs(model, (64, 96))
    model.data_preprocessor.size_divisor = None
    assert padded_shape(model, (33, 64)) == (33, 64)
    for form, kept in (('deploy', True), ('deploy-factors', False)):
        other = copy.deepcopy(model)
        set_form(other, form)
        assert {block.deployed.precomputed for block in other.decode_head.blocks()} == {kept}
    with pytest.raises(ValueError, match="form is one of wide, folded, deploy, deploy-factors, but got 'literal'"):
        set_form(model, 'literal')
