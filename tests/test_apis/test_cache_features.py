import pytest
from mmengine.config import Config

from mlore_mm.apis.training import cache_features as module
from mlore_mm.apis.training.cache_features import cache_features
from mlore_mm.utils.feature_store import FeatureStore
from tests.training import write_config


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    return write_config(tmp_path_factory.mktemp('data'), workers=0)


def load(config, frozen=True, **options):
    cfg = Config.fromfile(config)
    cfg.merge_from_dict({'model.backbone.type': 'FixedEncoder', 'model.frozen_backbone': frozen, **options})
    return cfg


def records(folder):
    store = FeatureStore(folder)
    return {(k, row): bytes(store.read(k, row)) for k in range(store.augmentations) for row in range(5)}


def test_an_interrupted_filling_ends_with_the_same_records(config, tmp_path, monkeypatch, capfd):
    cache_features(load(config), str(tmp_path / 'straight'), augmentations=2, batch_size=1)
    monkeypatch.setattr(module, 'FLUSH', 2)
    append, count = FeatureStore.append, []

    def cut(store, waiting):
        count.append(1)
        if len(count) > 2:
            raise KeyboardInterrupt
        append(store, waiting)

    monkeypatch.setattr(FeatureStore, 'append', cut)
    with pytest.raises(KeyboardInterrupt):
        cache_features(load(config), str(tmp_path / 'cut'), augmentations=2, batch_size=1)
    monkeypatch.setattr(FeatureStore, 'append', append)
    assert len(FeatureStore(tmp_path / 'cut/train').missing) == 6
    capfd.readouterr()
    cache_features(load(config), str(tmp_path / 'cut'), augmentations=2, batch_size=1)
    said = capfd.readouterr().out
    assert '6 of 10 records are to be made' in said
    assert 'GB are free' in said
    assert records(tmp_path / 'cut/train') == records(tmp_path / 'straight/train')
    assert len({tuple(x) for x in records(tmp_path / 'cut/train').values()}) == 10
    assert FeatureStore(tmp_path / 'cut/val').augmentations == 1
    (train, val) = cache_features(load(config), str(tmp_path / 'cut'), augmentations=2, batch_size=3)
    assert (train.folder.name, val.folder.name) == ('train', 'val')
    said = capfd.readouterr().out
    assert 'train is full: 10 records' in said
    assert 'are needed' not in said
    (other,) = cache_features(load(config), str(tmp_path / 'other'), splits=['val'], seed=1, batch_size=3)
    assert len(other.missing) == 0
    FeatureStore.create(tmp_path / 'more/train', train.recipe, train.samples, 3).append({(2, 0): b'x'})
    cache_features(load(config), str(tmp_path / 'more'), splits=['train'], augmentations=1, batch_size=3)
    assert 'was begun with 3 augmentations: all of them are completed' in capfd.readouterr().out


def test_a_full_disk_is_named_before_anything_is_written(config, tmp_path, monkeypatch):
    monkeypatch.setattr(module.shutil, 'disk_usage', lambda path: type('Usage', (), dict(free=100)))
    with pytest.raises(ValueError, match='needs 0.00 GB more'):
        cache_features(load(config), str(tmp_path))
    assert FeatureStore(tmp_path / 'train').end == 0
    monkeypatch.undo()  # what the message advises is possible in the same folder
    train, _ = cache_features(load(config), str(tmp_path), dtype='float32')
    assert (train.recipe['dtype'], train.missing) == ('float32', [])


def test_what_cannot_be_stored_is_named(config, tmp_path):
    with pytest.raises(ValueError, match='frozen_backbone=True'):
        cache_features(load(config, frozen=False), str(tmp_path))
    with pytest.raises(ValueError, match='leave model.adapter out'):
        cache_features(load(config, **{'model.adapter': dict(type='LoRA')}), str(tmp_path))
    with pytest.raises(ValueError, match='no extra_dataloader, so there is nothing to store for --splits extra'):
        cache_features(load(config), str(tmp_path), splits=['extra'])
    with pytest.raises(ValueError, match='float16 cannot hold'):
        cache_features(load(config, **{'model.backbone.shift': 1e5}), str(tmp_path / 'a'))
    with pytest.raises(ValueError, match='makes features for each task'):
        cache_features(load(config, **{'model.backbone': dict(type='ToyOwner', _delete_=True)}), str(tmp_path / 'b'))
