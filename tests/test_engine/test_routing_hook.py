import json

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mlore_mm.apis.analysis.usage_over_training import read_usage, write_usage
from mlore_mm.engine.hooks.routing_hook import RoutingHook, scalars, usage_scalars
from mlore_mm.registry import RUNNERS
from mlore_mm.routing.statistics import LayerRouting
from tests.tiny import SINGLE_STAGE, TRAINING, write_rooms, write_tiny


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp('hook')
    return write_tiny(folder, data=write_rooms(folder / 'NYUDv2'), more=TRAINING + SINGLE_STAGE)[0]


def train(config, work_dir, hooks):
    cfg = Config.fromfile(config)
    cfg.work_dir, cfg.custom_hooks = str(work_dir), hooks
    return RUNNERS.build(cfg).train()


def test_statistics_are_written_and_training_is_not_touched(config, tmp_path):
    watched = train(config, tmp_path / 'a', [dict(type='RoutingHook', interval=2, image_interval=4, usage=True)])
    plain = train(config, tmp_path / 'b', [])
    for one, other in zip(watched.state_dict().values(), plain.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    lines = [
        json.loads(line) for path in (tmp_path / 'a').rglob('scalars.json') for line in path.read_text().splitlines()
    ]
    written = [line for line in lines if 'routing/unused' in line]
    assert [line['step'] for line in written] == [2, 4]
    layer = 'routing/decode_head/stage0/block1'
    assert {f'{layer}/load_variation', f'{layer}/similarity', 'routing/entropy_normals'} <= set(written[0])
    curves = read_usage(tmp_path / 'a')
    assert list(curves) == [f'decode_head/stage0/block{b}' for b in range(2)]
    steps, shares = curves['decode_head/stage0/block1']['normals']
    assert steps.tolist() == [2, 4]
    assert shares.shape == (2, 3)
    np.testing.assert_allclose(shares.sum(axis=1), 2)  # top_k
    assert shares[1, 2] == written[1]['usage/decode_head/stage0/block1/normals/2']
    files = write_usage(tmp_path / 'a', tmp_path / 'drawn')
    assert [file.name for file in files] == [f'decode_head_stage0_block{b}_usage.png' for b in range(2)]
    with pytest.raises(ValueError, match='says nothing about the use of experts'):
        read_usage(tmp_path / 'b')
    pictures = {path.name for path in (tmp_path / 'a').rglob('vis_image/*.png')}
    assert pictures == {'routing_overview_4.png'} | {f'routing_decode_head_stage0_block{b}_4.png' for b in range(2)}


def test_intervals_have_to_agree():
    with pytest.raises(ValueError, match='a multiple of it, but got 200 and 300'):
        RoutingHook(200, 300)
    for interval, pictures in ((0, 0), (5, -5)):
        with pytest.raises(ValueError, match='interval >= 1'):
            RoutingHook(interval, pictures)
    assert RoutingHook(1, 0).image_interval == 0


def layer(load, entropy):
    """Two tasks with the same gates and nothing in common."""
    gates = np.array([load, load])
    return LayerRouting(('a', 'b'), 1, 1, gates, gates, np.zeros(2), np.array(entropy), np.eye(2))


def test_numbers_by_hand():
    layers = dict(first=layer([1.0, 0.0, 0.5], [1.0, 4.0]), second=layer([0.0, 0.0, 3.0], [3.0, 0.0]))
    assert scalars(layers) == pytest.approx(
        {
            'routing/first/load_variation': 1.0,  # (std / mean)^2 of 1, 0, 1/2: 1/4 over 1/4
            'routing/first/similarity': 0.0,
            'routing/second/load_variation': 3.0,  # of 0, 0, 3: 3 over 1
            'routing/second/similarity': 0.0,
            'routing/entropy_a': 2.0,
            'routing/entropy_b': 2.0,
            'routing/unused': 3.0,
        }
    )
    assert usage_scalars(dict(first=layers['first'])) == {
        f'usage/first/{task}/{i}': share for task in 'ab' for i, share in enumerate((1.0, 0.0, 0.5))
    }


def test_use_of_ten_experts_and_more_is_in_their_order(tmp_path):
    line = {f'usage/stage/block/depth/{i}': i / 16 for i in reversed(range(11))}
    (tmp_path / 'scalars.json').write_text(json.dumps(dict(line, loss=1, step=7)))
    ((layer, curves),) = read_usage(tmp_path).items()
    steps, shares = curves['depth']
    assert (layer, steps.tolist(), shares.tolist()) == ('stage/block', [7], [[i / 16 for i in range(11)]])
