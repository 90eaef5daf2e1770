"""The config whose settings are changed."""

import pytest
from mmengine.config import Config

from tests.test_engine.test_config_check.settings import CONFIG


@pytest.fixture(scope='module')
def config():
    return Config.fromfile(CONFIG)
