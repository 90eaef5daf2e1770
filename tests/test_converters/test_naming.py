import pytest

from mlore_mm.converters.naming import naming


@pytest.mark.parametrize('error', [KeyError('pos'), TypeError('int'), ValueError('no grid'), AttributeError('x')])
def test_every_error_names_the_file(error):
    with pytest.raises(ValueError, match=r'weights\.npz'), naming('weights.npz'):
        raise error


def test_a_message_that_names_it_stays_as_it_is():
    with pytest.raises(ValueError, match=r'^a\.pth is odd$'), naming('a.pth'):
        raise ValueError('a.pth is odd')
