import numpy as np

from mlore_mm.utils.array_records import compact, expand, pack, unpack


def stored(arrays, **values):
    return unpack(np.frombuffer(pack(arrays, values), np.uint8))


def test_arrays_and_values_come_back_as_they_were():
    rng = np.random.default_rng(0)
    arrays = dict(half=rng.normal(size=(3, 5, 7)).astype(np.float16), ids=rng.integers(0, 9, (1, 3), dtype=np.int64))
    found, values = stored(
        arrays, size=(3, 4), camera=np.eye(3, dtype=np.float32), scale=np.float32(1.5), files={'a': None}
    )
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    camera = values.pop('camera')
    assert values == dict(size=(3, 4), scale=1.5, files={'a': None})
    np.testing.assert_array_equal(camera, np.eye(3))
    assert camera.dtype == np.float32


def test_few_numbers_take_a_byte_each_and_lose_nothing():
    few = np.array([0.1, -0.0, 0.0, np.nan, np.inf, 1 / 3] * 100, dtype=np.float32).reshape(2, 300)
    entries = compact('depth', few)
    assert entries['codes of depth'].dtype == np.uint8
    assert expand('depth', stored(entries)[0]).tobytes() == few.tobytes()


def test_many_numbers_stay_as_they_are():
    for many in (np.arange(257, dtype=np.float32), np.concatenate([np.zeros(5000), np.arange(300)])):
        assert list(compact('x', many)) == ['x']
        np.testing.assert_array_equal(expand('x', stored(compact('x', many))[0]), many)
