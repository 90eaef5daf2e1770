"""Settings of the command line: how they are read, and how they are laid over a config."""

import argparse
import ast
from copy import deepcopy

from mmengine.config import Config, DictAction

from mlore_mm.utils.config_variables import is_symbolic, resolve_variables


class OverrideAction(DictAction):
    """mmengine's action for ``KEY=VALUE``, which also takes dicts: ``custom_hooks="[dict(type='EMAHook')]"``."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        options = dict(getattr(namespace, self.dest, None) or {})
        for pair in values:
            key, equals, text = pair.partition('=')
            if not equals or not key:
                parser.error(f'{option_string} takes KEY=VALUE, but got {pair!r}.')
            if 'dict(' in text or '{' in text:
                options[key] = _read(parser, pair, text)
            else:
                alone = argparse.Namespace()
                try:
                    super().__call__(parser, alone, [pair], option_string)
                except (RecursionError, AssertionError):  # brackets or quotes that do not close
                    parser.error(f'{pair!r} cannot be read: check its brackets and quotes.')
                options.update(getattr(alone, self.dest))
        setattr(namespace, self.dest, options)


def _read(parser: argparse.ArgumentParser, pair: str, text: str):
    try:
        return _value(ast.parse(text.strip(), mode='eval').body, text.strip())
    except (SyntaxError, ValueError) as error:
        parser.error(f'{pair!r} cannot be read: {error}. Quote it for the shell, as in "key=[dict(type=\'EMAHook\')]".')


def _value(node: ast.expr, text: str):
    """A literal, ``dict(...)`` among them; a bare word is a string, as everywhere on the command line."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict' and not node.args:
        return {keyword.arg: _value(keyword.value, text) for keyword in node.keywords}
    if isinstance(node, ast.Dict):
        return {_value(k, text): _value(v, text) for k, v in zip(node.keys, node.values, strict=True)}
    if isinstance(node, (ast.List, ast.Tuple)):
        items = [_value(item, text) for item in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    if isinstance(node, ast.Name):
        return node.id
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise ValueError(f'{ast.get_source_segment(text, node)!r} is no value') from None


def apply_overrides(cfg: Config, overrides: dict) -> None:
    """Lay settings by dotted key over a config, in place; also inside of what stands for a variable.

    ``train_dataloader.dataset.pipeline.2.prob=1`` changes the pipeline of that data set, ``'$train_pipeline'`` or not.

    Raises:
        ValueError: A key goes on below a value that is no dict and no list.
    """
    for key, value in overrides.items():  # one after the other: of 'a.b' and 'a' together mmengine forgets the first
        _open(cfg, key.split('.'))
        try:
            cfg.merge_from_dict({key: value})
        except (TypeError, KeyError, IndexError) as error:
            raise ValueError(f'The setting {key!r} does not fit the config: {error}') from error


def _open(cfg: Config, path: list[str]) -> None:
    """Put a copy of the variable wherever ``path`` leads through a ``'$variable'``."""
    place, names = cfg, []
    for name in path[:-1]:
        index = int(name) if isinstance(place, (list, tuple)) and name.isdigit() else name
        names.append(name)
        try:
            inner = place[index]
        except (KeyError, IndexError, TypeError):
            return
        if is_symbolic(inner):
            everything = deepcopy(cfg._cfg_dict.to_dict())
            resolve_variables(everything)
            inner = everything
            for step in names:
                inner = inner[int(step) if isinstance(inner, (list, tuple)) else step]
            place[index] = inner
            inner = place[index]
        place = inner
