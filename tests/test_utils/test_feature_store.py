import pytest

from mlore_mm.utils.feature_store import RECORDS, FeatureStore, FeatureStoreError

RECIPE = dict(encoder=dict(weights='abc', size=(4, 6)), pipeline=[dict(type='Load')])


def create(folder, augmentations=2, **changes):
    return FeatureStore.create(folder, {**RECIPE, **changes}, ['a', 'b', 'c'], augmentations)


def fill(store, places=None):
    store.append({(k, row): f'{k}{row}'.encode() * 50 for k, row in places or store.missing})
    return store


def text(store, k, row):
    return store.read(k, row).tobytes().rstrip(b'\0').decode()


def test_an_interrupted_filling_goes_on(tmp_path):
    fill(create(tmp_path), [(0, 0), (1, 2)])
    with open(tmp_path / RECORDS, 'ab') as file:
        file.write(b'half a record that was never named')
    store = create(tmp_path)
    assert store.missing == [(0, 1), (0, 2), (1, 0), (1, 1)]
    with pytest.raises(FeatureStoreError, match='4 of 6 records are missing'):
        store.check_complete()
    fill(store)
    again = FeatureStore(tmp_path)
    again.check_complete()
    assert [text(again, k, row) for k in range(2) for row in range(3)] == [
        f'{k}{row}' * 50 for k in range(2) for row in range(3)
    ]


def test_augmentations_are_added_to_what_is_there(tmp_path):
    fill(create(tmp_path, 1))
    store = create(tmp_path, 2)
    assert store.missing == [(1, 0), (1, 1), (1, 2)]
    assert text(fill(store), 0, 1) == '01' * 50


def test_what_made_it_has_to_be_the_same(tmp_path):
    fill(create(tmp_path))
    with pytest.raises(FeatureStoreError, match="encoder.weights: 'abc' in the store, 'xyz' in the config"):
        create(tmp_path, encoder=dict(weights='xyz', size=(4, 6)))
    with pytest.raises(FeatureStoreError, match='pipeline'):
        create(tmp_path, pipeline=[])
    with pytest.raises(FeatureStoreError, match='samples: 3 in the store, 1'):
        FeatureStore.create(tmp_path, RECIPE, ['a'], 2)


def test_damage_is_seen(tmp_path):
    store = fill(create(tmp_path))
    offset = int(store.index[1, 1, 0])
    with open(tmp_path / RECORDS, 'r+b') as file:
        file.seek(offset + 3)
        file.write(b'x')
    store = FeatureStore(tmp_path)
    assert text(store, 1, 0) == '10' * 50
    with pytest.raises(FeatureStoreError, match='Record 1 of sample b .* is damaged'):
        store.read(1, 1)


def test_no_store_says_what_makes_one(tmp_path):
    with pytest.raises(FeatureStoreError, match='cache_features.py'):
        FeatureStore(tmp_path)
