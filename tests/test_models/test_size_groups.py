"""A prediction does not depend on what else is in the batch."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mlore_mm.models.size_groups import size_groups
from mlore_mm.registry import MODELS
from mlore_mm.structures import MultiTaskDataSample
from tests.distributed import run_in_processes
from tests.mlore_models import TASKS, build_mlore

SIZES = [(32, 48), (20, 32), (64, 32), (32, 48), (16, 100)]


def pictures():
    """Images of several sizes, of which the second was padded by its pipeline."""
    generator = torch.Generator().manual_seed(0)
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator) for size in SIZES]
    metas = [dict(ori_shape=size, sample_id=str(i)) for i, size in enumerate(SIZES)]
    metas[1].update(padding=(0, 0, 4, 0), ori_shape=(24, 50))
    return images, metas


def model_of(mode):
    model = build_mlore(tasks=tuple(TASKS)).eval()
    model.data_preprocessor.size_divisor = 16
    if mode == 'slide':
        model.test_cfg.update(mode='slide', crop_size=(32, 32), stride=(16, 16))
    return model


def predict(model, batch_size, step):
    images, metas = pictures()
    found = []
    for start in range(0, len(images), batch_size):
        chosen = slice(start, start + batch_size)
        samples = [MultiTaskDataSample(metainfo=meta) for meta in metas[chosen]]
        found += step(model, images[chosen], samples)
    assert [sample.sample_id for sample in found] == [meta['sample_id'] for meta in metas]
    return found


def test_step(model, images, samples):
    return model.test_step(dict(inputs=images, data_samples=samples))


def val_step(model, images, samples):
    return model.val_step(dict(inputs=images, data_samples=samples))


def predict_mode(model, images, samples):
    data = model.data_preprocessor(dict(inputs=images, data_samples=samples))
    with torch.no_grad():
        return model(**data, mode='predict')


def tta(model, images, samples):
    mirrored = [MultiTaskDataSample(metainfo=dict(x.metainfo, **mirror(x))) for x in samples]
    wrapper = MODELS.build(dict(type='MultiTaskTTAModel', module=model))
    views = dict(inputs=[images, [x.flip(-1) for x in images]], data_samples=[samples, mirrored])
    return wrapper.test_step(views)


def mirror(sample):
    left, right, top, bottom = sample.get('padding', (0, 0, 0, 0))
    return dict(flip=True, flip_direction='horizontal', padding=(right, left, top, bottom))


test_step.__test__ = False


@pytest.mark.parametrize('batch_size', [2, 5])
@pytest.mark.parametrize(
    ('mode', 'step'),
    [('whole', test_step), ('whole', val_step), ('whole', predict_mode), ('whole', tta), ('slide', test_step)],
)
def test_predictions_are_those_of_batch_one(mode, step, batch_size):
    model = model_of(mode)
    for alone, batched in zip(predict(model, 1, step), predict(model, batch_size, step), strict=True):
        for name in TASKS:
            assert batched.pred.get(name).shape == alone.pred.get(name).shape
            assert_close(batched.pred.get(name), alone.pred.get(name), rtol=1e-4, atol=1e-5)


def test_groups_keep_every_image_and_its_pixels():
    batch = torch.rand(3, 3, 8, 8)
    samples = [MultiTaskDataSample(metainfo=meta) for meta in (dict(own_shape=(4, 8)), {}, dict(own_shape=(4, 8)))]
    groups = list(size_groups(batch, samples, nn.Identity()))
    assert [indices for indices, _ in groups] == [[0, 2], [1]]
    assert_close(groups[0][1], batch[[0, 2], :, :4], rtol=0, atol=0)
    assert_close(groups[1][1], batch[1:2], rtol=0, atol=0)


def test_one_size_is_one_group_and_no_copy():
    batch = torch.rand(2, 3, 8, 8)
    ((indices, images),) = size_groups(batch, [MultiTaskDataSample(), MultiTaskDataSample()], nn.Identity())
    assert indices == [0, 1]
    assert images.data_ptr() == batch.data_ptr()


def _calls():
    """Sharded over two processes, of which one has two sizes and the other one."""
    import torch.distributed as dist

    model, batch = nn.Identity(), torch.rand(2, 3, 8, 8)
    own = [(4, 8), (8, 8)] if dist.get_rank() == 0 else [(8, 8), (8, 8)]
    samples = [MultiTaskDataSample(metainfo=dict(own_shape=size)) for size in own]
    plain = [indices for indices, _ in size_groups(batch, samples, model)]
    from mlore_mm.models import size_groups as module

    module.FullyShardedDataParallel = nn.Identity  # real sharding needs an accelerator on some versions
    return plain, [indices for indices, _ in size_groups(batch, samples, model)]


def test_sharded_processes_make_the_same_number_of_calls(tmp_path):
    found = run_in_processes(_calls, tmp_path, world_size=2)
    assert found == [([[0], [1]], [[0], [1]]), ([[0, 1]], [[0, 1], []])]


def test_training_says_once_that_it_pads(monkeypatch):
    said = []
    monkeypatch.setattr('mlore_mm.models.data_preprocessor.print_log', lambda text, **more: said.append(text))
    prepare = MODELS.build(dict(type='MultiTaskDataPreprocessor'))
    images = [torch.zeros(3, 8, 8, dtype=torch.uint8), torch.zeros(3, 4, 12, dtype=torch.uint8)]
    prepare(dict(inputs=images), training=False)
    prepare(dict(inputs=images[:1]), training=True)
    assert not said
    for _ in range(2):
        prepare(dict(inputs=images), training=True)
    assert len(said) == 1
    assert 'differ in size' in said[0]
    assert '8x12' in said[0]
