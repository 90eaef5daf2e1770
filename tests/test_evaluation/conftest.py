import logging
from pathlib import Path

import pytest
from mmengine.logging import MMLogger


@pytest.fixture
def log(tmp_path):
    """The file that mmengine's current logger writes during the test."""
    logger = MMLogger.get_instance('test_log', log_file=str(tmp_path / 'run.log'))
    path = next(handler.baseFilename for handler in logger.handlers if isinstance(handler, logging.FileHandler))
    yield Path(path)
    for handler in MMLogger._instance_dict.pop('test_log').handlers:
        if isinstance(handler, logging.FileHandler):
            handler.close()
