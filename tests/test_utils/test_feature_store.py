import json
import pickle

import pytest

from mlore_mm.utils.feature_store import (
    ABOUT,
    INDEX,
    RECORDS,
    FeatureStore,
    FeatureStoreError,
    as_json,
    differences,
    refusal,
)

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


def broken(folder, match):
    with pytest.raises(FeatureStoreError, match=match):
        FeatureStore(folder)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(format=2), 'of format 2, this version reads 1'),
        (dict(recipe=[]), 'is damaged: expected a recipe'),
        (dict(samples='abc'), 'is damaged'),
        (dict(samples=['a', 1, 'c']), 'is damaged'),
        (dict(augmentations=0), 'is damaged'),
        (dict(augmentations=True), 'is damaged'),
        (dict(augmentations=1.0), 'is damaged'),
        (dict(augmentations=9), 'index.bin is shorter than it was made'),
    ],
)
def test_other_descriptions_are_refused(tmp_path, change, message):
    create(tmp_path)
    about = json.loads((tmp_path / ABOUT).read_text())
    (tmp_path / ABOUT).write_text(json.dumps({**about, **change}))
    broken(tmp_path, message)
    for text, found in (('[]', 'of format None'), ('{', 'store.json cannot be read')):
        (tmp_path / ABOUT).write_text(text)
        broken(tmp_path, found)


def test_a_store_keeps_its_augmentations_and_its_order(tmp_path):
    fill(create(tmp_path, 3))
    assert create(tmp_path, 1).augmentations == 3
    assert (tmp_path / INDEX).stat().st_size == 3 * 3 * 24
    with pytest.raises(FeatureStoreError, match='samples: 3 in the store, 3 in the config, or others'):
        FeatureStore.create(tmp_path, RECIPE, ['c', 'b', 'a'], 2)
    assert create(tmp_path).rows == dict(a=0, b=1, c=2)
    assert create(tmp_path).recipe == dict(encoder=dict(weights='abc', size=[4, 6]), pipeline=[dict(type='Load')])


def test_records_lie_at_multiples_of_64_bytes(tmp_path):
    store = create(tmp_path)
    store.append({(0, 0): b'a' * 65})
    store.append({(1, 2): b'b', (0, 1): b''})
    assert store.index[0, 0, :2].tolist() == [0, 128]
    assert store.index[1, 2, :2].tolist() == [128, 64]
    assert store.end == 192
    assert store.missing == [(0, 1), (0, 2), (1, 0), (1, 1)]
    assert store.read(0, 0).tobytes() == b'a' * 65 + bytes(63)
    again = pickle.loads(pickle.dumps(store))
    assert (store._map is not None, again._map) == (True, None)
    assert again.read(1, 2)[0] == ord('b')
    with pytest.raises(FeatureStoreError, match='4 of 6 records are missing'):
        store.read(0, 2)


def test_a_record_is_compared_once_and_a_cut_file_is_damaged(tmp_path):
    store = fill(create(tmp_path))
    assert text(store, 1, 2) == '12' * 50
    with open(tmp_path / RECORDS, 'r+b') as file:
        file.truncate(store.end - 64)
    broken_one = FeatureStore(tmp_path)
    with pytest.raises(FeatureStoreError, match='Record 1 of sample c in .* is damaged'):
        broken_one.read(1, 2)
    assert len(store._checked) == 1


def test_a_full_disk_keeps_what_is_there(tmp_path, monkeypatch):
    store = fill(create(tmp_path), [(0, 0)])

    def full(handle):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('os.fsync', full)
    with pytest.raises(ValueError, match='Cannot write to the store .*: No space left .* GB are free there'):
        fill(store)
    assert FeatureStore(tmp_path).missing == store.missing == [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]


def test_recipes_are_compared_line_by_line():
    stored, wanted = dict(a=1, b=[1, dict(c=2)], d=[1], e='x' * 200), dict(a=1, b=[1, dict(c=3)], d=[1, 2], e=0, f=1)
    lines = differences(stored, as_json(wanted))
    assert lines[:2] == ['b.1.c: 2 in the store, 3 in the config', 'd: [1] in the store, [1, 2] in the config']
    assert lines[2] == f"e: '{'x' * 116}... in the store, 0 in the config"
    assert lines[3:] == ['f: None in the store, 1 in the config']
    assert differences(dict(a='y' * 118), dict(a=0)) == [f"a: '{'y' * 118}' in the store, 0 in the config"]
    assert refusal('x', [str(i) for i in range(20)]).count('\n- ') == 12
    assert as_json(dict(b=(1, 2), a=int)) == dict(a="<class 'int'>", b=[1, 2])


def test_fewer_augmentations_count_where_the_others_are_not_begun(tmp_path):
    store = create(tmp_path, 50)
    store.append({(0, 0): b'x', (3, 2): b'y'})
    again = create(tmp_path, 2)
    assert (again.begun, again.augmentations, len(again.missing)) == (4, 4, 10)
    assert fill(again).missing == []
    assert text(FeatureStore(tmp_path), 3, 2) == 'y'


def test_a_store_without_records_is_made_anew(tmp_path):
    """Whatever it was to be of: nothing is lost."""
    create(tmp_path, 5)
    store = FeatureStore.create(tmp_path, dict(RECIPE, pipeline=[]), ['z'], 2)
    assert (store.recipe['pipeline'], store.samples, store.augmentations, len(store.missing)) == ([], ['z'], 2, 2)
