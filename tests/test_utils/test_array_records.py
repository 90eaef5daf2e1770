import numpy as np
import pytest

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


def test_arrays_begin_at_multiples_of_64_bytes():
    record = pack(dict(a=np.zeros(3, np.uint8), b=np.ones(70, np.uint8), c=np.zeros(0)), dict(x=1))
    assert len(record) % 64 == 0
    arrays, _ = unpack(np.frombuffer(record, np.uint8))
    start = np.frombuffer(record, np.uint8).ctypes.data
    assert [(arrays[name].ctypes.data - start) % 64 for name in 'ab'] == [0, 0]
    assert (arrays['b'].tolist(), arrays['c'].shape) == ([1] * 70, (0,))


def test_values_keep_their_form_and_others_are_refused():
    _, values = stored({}, nested=[(1, [2]), dict(a=[3])], number=np.int64(4))
    assert values == dict(nested=((1, (2,)), dict(a=(3,))), number=4)
    with pytest.raises(TypeError, match='set cannot be kept in a record'):
        pack({}, dict(x={1}))


@pytest.mark.parametrize('dtype', [np.float16, np.float32, np.int64])
def test_256_different_numbers_are_few(dtype):
    few = np.arange(256).astype(dtype)
    assert set(compact('x', few)) == {'x', 'codes of x'}
    back = expand('x', stored(compact('x', few))[0])
    assert (back.dtype, back.tolist()) == (dtype, few.tolist())
    back[0] = 5  # may be written to
    bytes_ = np.arange(9, dtype=np.uint8)
    assert list(compact('x', bytes_)) == ['x']
    read = expand('x', stored(compact('x', bytes_))[0])
    read[0] = 7
    assert list(compact('x', np.zeros(5, bool))) == ['x']
