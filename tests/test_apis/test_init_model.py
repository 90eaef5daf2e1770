import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mlore_mm.apis import inference_model, init_model
from mlore_mm.apis.inference.init_model import same_size_batches
from mlore_mm.tasks import TaskSet

GENERATOR = np.random.default_rng(0)
IMAGE = GENERATOR.integers(0, 255, (30, 44, 3), dtype=np.uint8)


@pytest.fixture(scope='module')
def model(tiny):
    return init_model(*tiny)


def test_predictions_have_the_size_of_the_picture(model):
    sample = inference_model(model, IMAGE)
    shapes = {name: tuple(sample.pred.get(name).shape) for name in model.tasks}
    assert shapes == dict.fromkeys(('semseg', 'depth', 'sal', 'edge'), (1, 30, 44)) | dict(normals=(3, 30, 44))
    torch.testing.assert_close(sample.pred.normals.norm(dim=0), torch.ones(30, 44))


def test_the_same_as_through_the_test_pipeline(model):
    """By hand: padded with zeros around the centre after normalisation, cut out and compared."""
    x = torch.from_numpy(IMAGE[..., ::-1].copy()).permute(2, 0, 1).float()
    x = (x - model.data_preprocessor.mean) / model.data_preprocessor.std
    canvas = torch.zeros(1, 3, 32, 64)  # (32, 48) of the pipeline, then up to a multiple of 32 at the right
    canvas[0, :, 1:31, 2:46] = x
    with torch.no_grad():
        depth = model.encode_decode(canvas, ['depth'])['depth'][0, :, 1:31, 2:46].clamp(min=0)
    torch.testing.assert_close(inference_model(model, IMAGE).pred.depth, depth, rtol=1e-4, atol=1e-4)


def test_a_list_gives_what_single_pictures_give(model):
    pictures = [IMAGE, IMAGE[:, ::-1], GENERATOR.integers(0, 255, (80, 20, 3), dtype=np.uint8)]
    for one, sample in zip(pictures, inference_model(model, pictures, tasks=['depth']), strict=True):
        assert sample.pred.keys() == ['depth']
        torch.testing.assert_close(sample.pred.depth, inference_model(model, one).pred.depth, rtol=1e-4, atol=1e-4)


def test_depth_follows_the_scale_at_which_a_photo_is_taken_in(tiny):
    """A photo larger than the training size is reduced to it; taken in twice as large, depth is multiplied by 2."""
    from mlore_mm.apis.inference.photo_pipeline import PhotoPipeline

    cfg = Config.fromfile(tiny[0])
    tasks = TaskSet(cfg.tasks.to_dict())
    large = GENERATOR.integers(0, 255, (64, 192, 3), dtype=np.uint8)
    packed = PhotoPipeline(cfg, tasks)(large)
    assert packed['inputs'].shape == (3, 32, 48)
    assert packed['data_samples'].scale_factor == (1.0, 1.0)
    packed = PhotoPipeline(cfg, tasks, max_size=96)(large)
    assert packed['inputs'].shape == (3, 32, 96)
    assert packed['data_samples'].scale_factor == (2.0, 2.0)
    packed = PhotoPipeline(cfg, tasks, max_size=None)(large)
    assert packed['data_samples'].scale_factor == (4.0, 4.0)
    assert packed['data_samples'].ori_shape == (64, 192)
    packed = PhotoPipeline(cfg, tasks)(large[:8, :8])
    assert packed['data_samples'].scale_factor == (1.0, 1.0)
    with pytest.raises(ValueError, match='max_size'):
        PhotoPipeline(cfg, tasks, max_size=0)


def test_checkpoints_that_do_not_fit(tiny, tmp_path):
    config, checkpoint = tiny
    stored = torch.load(checkpoint, weights_only=True)

    def variant(**changes) -> str:
        torch.save({**stored, **changes}, tmp_path / 'a.pth')
        return str(tmp_path / 'a.pth')

    init_model(config, variant(meta={}))  # without a list of tasks it is taken as it is
    with pytest.raises(ValueError, match='another order'):
        init_model(config, variant(meta=dict(tasks=stored['meta']['tasks'][::-1])))
    with pytest.raises(ValueError, match='other tasks'):
        init_model(config, checkpoint, cfg_options=dict(task_names=['depth']))
    weights = dict(stored['state_dict'])
    weights.pop('decode_head.heads.depth.predict.weight')
    with pytest.raises(ValueError, match=r'lacks 1 of the .* weights .*heads.depth.predict.weight'):
        init_model(config, variant(state_dict=weights))
    with pytest.raises(ValueError, match=r'in another shape, .*\(1, 24\) in the file, \(1, 30\) in the'):
        init_model(config, checkpoint, cfg_options={'model.decode_head.grid': (5, 6)})
    with pytest.raises(ValueError, match='There is no checkpoint lost.pth'):
        init_model(config, 'lost.pth')


def test_a_config_is_not_changed(tiny):
    cfg = Config.fromfile(tiny[0])
    before = cfg.pretty_text
    model = init_model(cfg, tiny[1], cfg_options={'tasks.depth.loss_weight': 3.0})
    assert cfg.pretty_text == before
    assert model.tasks['depth'].loss_weight == 3.0
    assert list(model.dataset_meta['tasks']) == list(model.tasks)


def test_a_notebook_needs_nothing_else(tiny, tmp_path):
    """In a fresh interpreter, from another folder: no scope, registry or runner was set up before."""
    config, checkpoint = tiny
    cell = (
        'import numpy as np\n'
        'from mlore_mm.apis import inference_model, init_model\n'
        f'model = init_model({str(config)!r}, {str(checkpoint)!r})\n'
        'sample = inference_model(model, np.full((30, 44, 3), 90, np.uint8), tasks=["depth"])\n'
        'print(tuple(sample.pred.depth.shape))\n'
    )
    done = subprocess.run([sys.executable, '-c', cell], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip().endswith('(1, 30, 44)'), done.stderr[-2000:]


@pytest.mark.parametrize(('size', 'wanted'), [(1, 'a|b|c|d|e'), (2, 'ab|c|de'), (9, 'abc|de')])
def test_neighbours_of_one_size_share_a_batch(size, wanted):
    items = [dict(name=name, inputs=np.zeros((1, 2) if name in 'abc' else (2, 1))) for name in 'abcde']
    assert '|'.join(''.join(x['name'] for x in batch) for batch in same_size_batches(items, size)) == wanted
    assert list(same_size_batches([], 2)) == []


def test_samples_are_called_by_their_file_or_number(model, tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), IMAGE)
    samples = inference_model(model, (str(tmp_path / 'a.png'), IMAGE), tasks=['depth'])
    assert [sample.sample_id for sample in samples] == [str(tmp_path / 'a.png'), '000001']
    torch.testing.assert_close(samples[0].pred.depth, samples[1].pred.depth)
