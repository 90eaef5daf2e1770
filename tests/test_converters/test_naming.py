import pytest

from mlore_mm.converters.naming import naming


@pytest.mark.parametrize(
    'error',
    [KeyError('pos'), TypeError('int'), ValueError('no grid'), AttributeError('x'), IndexError(3), RuntimeError('y')],
)
def test_every_error_names_the_file(error):
    with pytest.raises(ValueError, match=r'weights\.npz'), naming('weights.npz'):
        raise error


def test_a_message_that_names_it_stays_as_it_is():
    with pytest.raises(ValueError, match=r'^a\.pth is odd$'), naming('a.pth'):
        raise ValueError('a.pth is odd')


def test_a_disk_is_not_the_fault_of_the_file():
    with pytest.raises(OSError, match='^full$'), naming('a.pth'):
        raise OSError('full')
