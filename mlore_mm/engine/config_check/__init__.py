"""Every key of a config is checked against what takes it, before anything is built."""

from .check import check_config
from .meanings import idle_settings
from .top_level import check_names, check_overrides

__all__ = ['check_config', 'check_names', 'check_overrides', 'idle_settings']
