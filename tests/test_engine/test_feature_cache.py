"""Trainings from stored features: the same as with the encoder, resumable, and refused where they would be others."""

import signal

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from PIL import Image
from torch.testing import assert_close

from mlore_mm.apis import init_model
from mlore_mm.apis.analysis.benchmark import loader_batches
from mlore_mm.apis.analysis.browse import browse_dataset
from mlore_mm.apis.training.cache_features import cache_features
from mlore_mm.datasets import CachedFeaturesDataset
from mlore_mm.engine.checkpoints import differences
from mlore_mm.engine.feature_cache import bind_feature_cache, unbind_feature_cache, weights_digest
from mlore_mm.registry import RUNNERS
from mlore_mm.utils.feature_store import FeatureStoreError
from tests.training import ITERS, FixedEncoder, train, write_config

FIXED = {'model.backbone.type': 'FixedEncoder', 'model.frozen_backbone': True, 'randomness.seed': 3}


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    return write_config(tmp_path_factory.mktemp('data'), workers=0)


def load(path, plain=False, **options):
    cfg = Config.fromfile(path)
    cfg.merge_from_dict({**FIXED, **options})
    if plain:
        cfg.train_dataloader.dataset.pipeline = cfg.test_pipeline
    return cfg


@pytest.fixture(scope='module')
def stores(config, tmp_path_factory):
    """One with three augmentations, one of the images as they are, and that in full precision."""
    folder = tmp_path_factory.mktemp('stores')
    for name, options in dict(drawn=dict(augmentations=3), plain={}, exact=dict(dtype='float32')).items():
        cache_features(load(config, plain=name != 'drawn'), str(folder / name), **options)
    return folder


class Losses(Hook):
    def __init__(self):
        self.values = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.values.append({key: float(value) for key, value in outputs.items() if 'loss' in key})


def losses(cfg, work_dir):
    cfg.work_dir = str(work_dir)
    runner, hook = RUNNERS.build(cfg), Losses()
    runner.register_hook(hook)
    runner.train()
    numbers = torch.tensor([list(step.values()) for step in hook.values], dtype=torch.float64)
    return numbers, runner


@pytest.mark.parametrize(('store', 'tolerance'), [('plain', 2e-3), ('exact', 1e-6)])
def test_losses_are_those_of_the_uncached_training(config, stores, tmp_path, store, tolerance):
    expected, one = losses(load(config, plain=True), tmp_path / 'a')
    cfg = load(config, plain=True, **{'feature_cache.path': str(stores / store)})
    found, other = losses(cfg, tmp_path / 'b')
    assert len(found) == ITERS
    assert_close(found, expected, rtol=tolerance, atol=1e-6)
    assert isinstance(other.val_dataloader.dataset, CachedFeaturesDataset)
    assert list(one.model.state_dict()) == list(other.model.state_dict())  # checkpoints of one work in the other


def test_killed_and_resumed_it_ends_with_the_same_bits(config, stores, tmp_path):
    options = {**FIXED, 'feature_cache.path': str(stores / 'drawn'), 'train_dataloader.persistent_workers': False}
    assert train(config, tmp_path / 'straight', **options) == 0
    assert train(config, tmp_path / 'cut', ('before_train_iter', 4), **options) == -signal.SIGKILL
    assert train(config, tmp_path / 'cut', **options) == 0
    assert differences(tmp_path / f'straight/iter_{ITERS}.pth', tmp_path / f'cut/iter_{ITERS}.pth') == []
    fewer = load(config, **{'feature_cache.path': str(stores / 'drawn'), 'feature_cache.augmentations': 2})
    fewer.work_dir, fewer.resume, fewer.load_from = str(tmp_path / 'x'), True, str(tmp_path / f'cut/iter_{ITERS}.pth')
    with pytest.raises(FeatureStoreError, match='drew from 3 augmentations per image, and would now draw from 2'):
        RUNNERS.build(fewer).train()


def test_a_subset_of_the_tasks_uses_the_same_store(config, stores, tmp_path):
    options = {'feature_cache.path': str(stores / 'drawn'), 'model.decode_head.guessed': 'depth'}
    cfg = load(config, **options)
    cfg.task_names = ['depth']
    found, runner = losses(cfg, tmp_path)
    assert len(found) == ITERS
    assert found.isfinite().all()
    sample = runner.train_dataloader.dataset[0]['data_samples']
    assert sample.gt.keys() == ['depth']


@pytest.mark.parametrize(
    ('change', 'named'),
    [
        ({'model.backbone.shift': 0.1}, r'encoder.backbone.shift(.|\n)*encoder.weights'),
        ({'model.data_preprocessor': dict(type='MultiTaskDataPreprocessor', std=(1.0, 1.0, 1.0))}, 'preprocessor.std'),
    ],
)
def test_another_encoder_is_refused(config, stores, tmp_path, change, named):
    cfg = load(config, **{'feature_cache.path': str(stores / 'drawn'), **change})
    cfg.work_dir = str(tmp_path)
    for run in ('train', 'val', 'test'):
        cfg.experiment_name = f'{tmp_path.name}_{run}'  # mmengine shares parts between runners of one name
        with pytest.raises(FeatureStoreError, match=named):
            getattr(RUNNERS.build(cfg), run)()


def test_an_encoder_that_is_trained_is_refused(config, stores, tmp_path):
    cfg = load(config, **{'feature_cache.path': str(stores / 'drawn'), 'model.frozen_backbone': False})
    cfg.work_dir = str(tmp_path)
    with pytest.raises(ValueError, match='model.frozen_backbone=True'):
        RUNNERS.build(cfg)


def test_one_changed_bit_is_another_encoder():
    one, other = FixedEncoder(), FixedEncoder()
    assert weights_digest(one) == weights_digest(other)
    with torch.no_grad():
        other.norm.running_mean[0] += 1e-30
    assert weights_digest(one) != weights_digest(other)


def test_tools_that_need_images_take_them_from_the_config_of_a_cached_training(config, stores, tmp_path):
    cfg = load(config, **{'feature_cache.path': str(stores / 'drawn'), 'work_dir': str(tmp_path)})
    bound = RUNNERS.build(cfg).cfg  # as a work folder keeps it
    assert bound.val_dataloader.dataset.type == 'CachedFeaturesDataset'
    model = init_model(bound)
    assert model.cfg.val_dataloader.dataset == bound.val_dataloader.dataset.dataset
    (batch,) = loader_batches(bound, 1)
    assert batch['inputs'][0].float().std() > 1  # a picture, and no placeholder
    (file,) = browse_dataset(bound, out_dir=tmp_path / 'pictures', split='train', count=1)
    assert np.asarray(Image.open(file)).std() > 1


def bound(**model) -> Config:
    loader = dict(dataset=dict(type='A'))
    cache = dict(path='store', augmentations=3)
    loaders = {f'{split}_dataloader': loader for split in ('train', 'val', 'test')}
    return Config(dict(model=dict(frozen_backbone=True, **model), feature_cache=cache, **loaders))


def test_where_the_stored_features_go():
    cfg = bound()
    bind_feature_cache(cfg)
    bind_feature_cache(cfg)  # twice is once
    inner = dict(type='CachedFeaturesDataset', dataset=dict(type='A'), path='store')
    assert cfg.train_dataloader.dataset == dict(inner, splits=['train'], required=True, augmentations=3)
    assert cfg.val_dataloader.dataset == dict(inner, splits=['val', 'test'], required=False)
    assert cfg.test_dataloader.dataset == dict(inner, splits=['test', 'val'], required=False)
    unbind_feature_cache(cfg)
    assert [cfg[f'{split}_dataloader'].dataset for split in ('train', 'val', 'test')] == [dict(type='A')] * 3


@pytest.mark.parametrize(
    'model', [dict(test_cfg=dict(mode='slide')), dict(module=dict(frozen_backbone=True))], ids=['windows', 'flips']
)
def test_evaluations_that_need_images_run_the_encoder(model):
    cfg = bound(**model)
    bind_feature_cache(cfg)
    kinds = [cfg[f'{split}_dataloader'].dataset.type for split in ('train', 'val', 'test')]
    assert kinds == ['CachedFeaturesDataset', 'A', 'A']


def test_a_cache_that_cannot_serve_is_refused():
    with pytest.raises(ValueError, match='an adapter trains the encoder'):
        bind_feature_cache(bound(adapter=dict(type='LoRA')))
    cfg = bound()
    cfg.feature_cache.path = ''
    with pytest.raises(ValueError, match='feature_cache needs a path'):
        bind_feature_cache(cfg)
    cfg.feature_cache = None
    bind_feature_cache(cfg)
    assert cfg.val_dataloader.dataset == dict(type='A')
