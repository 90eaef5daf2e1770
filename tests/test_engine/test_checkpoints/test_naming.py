import pytest
import torch

from mlore_mm.engine.checkpoints import naming_checkpoint


@pytest.mark.parametrize('error', [KeyError('iter'), TypeError("'int' object is not iterable"), AttributeError('x')])
def test_errors_of_libraries_get_the_name_of_the_file(error):
    with (
        pytest.raises(ValueError, match=rf'^a/b.pth cannot be used: .*{type(error).__name__}'),
        naming_checkpoint('a/b.pth'),
    ):
        raise error


def test_errors_with_the_name_stay_as_they_are():
    with pytest.raises(ValueError, match='^a/b.pth: its meta is odd$'), naming_checkpoint('a/b.pth'):
        raise ValueError('its meta is odd')
    with pytest.raises(ValueError, match='^odd is a/b.pth$'), naming_checkpoint('a/b.pth'):
        raise ValueError('odd is a/b.pth')


@pytest.mark.parametrize('error', [OSError, MemoryError, torch.OutOfMemoryError])
def test_a_disk_and_a_memory_are_not_the_fault_of_the_file(error):
    with pytest.raises(error, match='^full$'), naming_checkpoint('a/b.pth'):
        raise error('full')
