"""Configs as text that keeps their order."""

from collections.abc import Iterable
from keyword import iskeyword
from math import isfinite

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
    return ''.join(f'{key} = {_format(value, len(key) + 3, 0)}\n' for key, value in config.items())


def _format(value, column: int, indent: int) -> str:
    """The value as source that starts at ``column``; further lines are indented by ``indent`` and more."""
    flat = _flat(value)
    if column + len(flat) < WIDTH or not isinstance(value, (dict, list, tuple)) or not value:
        return flat
    inner = indent + 4
    if not isinstance(value, dict):
        items = [_format(item, inner, inner) for item in value]
        opening, closing = '[]' if isinstance(value, list) else '()'
        lines = _fill(items, WIDTH - inner)
    else:
        opening, closing, prefixes = _dict_syntax(value)
        lines = [p + _format(x, inner + len(p), inner) + ',' for p, x in zip(prefixes, value.values(), strict=True)]
    body = ''.join(' ' * inner + line + '\n' for line in lines)
    return f'{opening}\n{body}{" " * indent}{closing}'


def _fill(items: Iterable[str], width: int) -> list[str]:
    """Items with commas, as many to a line as fit; one that has lines of its own stands alone."""
    lines = []
    for item in items:
        alone = '\n' in item or not lines or '\n' in lines[-1]
        if alone or len(lines[-1]) + len(item) + 2 > width:
            lines.append(f'{item},')
        else:
            lines[-1] += f' {item},'
    return lines


def _flat(value) -> str:
    if isinstance(value, dict):
        opening, closing, prefixes = _dict_syntax(value)
        items = (p + _flat(x) for p, x in zip(prefixes, value.values(), strict=True))
        return opening + ', '.join(items) + closing
    if isinstance(value, list):
        return f'[{", ".join(map(_flat, value))}]'
    if isinstance(value, tuple):
        return f'({", ".join(map(_flat, value))}{"," if len(value) == 1 else ""})'
    if isinstance(value, type):
        return repr(f'{value.__module__}.{value.__qualname__}')
    if isinstance(value, float) and not isfinite(value):
        return f"float('{value}')"
    return repr(value)


def _dict_syntax(value: dict) -> tuple[str, str, list[str]]:
    """Opening, closing, and what stands before each value."""
    if all(isinstance(key, str) and key.isidentifier() and not iskeyword(key) for key in value):
        return 'dict(', ')', [f'{key}=' for key in value]
    return '{', '}', [f'{key!r}: ' for key in value]
