import pytest

from tests.tiny import write_tiny


@pytest.fixture(scope='session')
def tiny(tmp_path_factory):
    """Paths of a config and a checkpoint of the smallest MLoRE."""
    return write_tiny(tmp_path_factory.mktemp('tiny'))
