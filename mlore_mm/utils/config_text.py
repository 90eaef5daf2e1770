"""Configs as text that keeps their order."""

from math import isfinite
from pprint import pformat

from mmengine.config import Config

WIDTH = 120


class OrderedConfig(Config):
    """A config that is written with its keys in their own order.

    mmengine sorts them. Sorted tasks are another model: a checkpoint would be refused with the config file that lies
    beside it. mmengine also runs a code formatter over the text each time, which takes seconds for every start and
    every checkpoint where a config holds the palettes of several data sets.
    """

    @classmethod
    def from_config(cls, cfg: Config | dict) -> 'OrderedConfig':
        """The same config, without a copy of its content."""
        if not isinstance(cfg, Config):
            return cls(cfg)
        return cls(cfg._cfg_dict, cfg_text=cfg.text, filename=cfg.filename, env_variables=cfg.env_variables)

    @property
    def pretty_text(self) -> str:
        return config_text(self.to_dict())


def config_text(config: dict) -> str:
    """Python source, a line ``key = value`` or more per key, that reads back as the same dict."""
    return ''.join(f'{key} = {_source(value, len(key) + 3)}\n' for key, value in config.items())


def _source(value, column: int) -> str:
    """The value as source that starts at ``column``."""
    text = pformat(_plain(value), width=WIDTH - column, compact=True, sort_dicts=False)
    if text[0] in '{[(':
        return text.replace('\n', '\n' + ' ' * column)  # lines of a text that are no source lines are written as \\n
    return text


def _plain(value):
    """The same with everything that ``repr`` does not write as source replaced."""
    if isinstance(value, dict):
        return {key: _plain(x) for key, x in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value))
    if isinstance(value, type):
        return f'{value.__module__}.{value.__qualname__}'
    return _NotFinite(value) if isinstance(value, float) and not isfinite(value) else value


class _NotFinite(float):
    def __repr__(self) -> str:
        return f"float('{float(self)}')"
