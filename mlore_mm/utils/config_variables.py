"""Values that a config writes once and uses in many places: strings such as ``'$crop_size // 16'``.

mmengine copies a variable into every place that uses it while it reads a config, so a leaf or ``--cfg-options`` that
changes the variable afterwards changes nothing. A string that starts with ``$`` is worked out later, when everything
has been said: a variable of the top level, or a small sum with one.
"""

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from difflib import get_close_matches

_SYMBOLIC = re.compile(r'\$[A-Za-z_(]')
_OPERATORS: dict[type, Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}


def resolve_variables(cfg) -> None:
    """Replace every ``'$...'`` of a config by its value, in place. Doing it twice changes nothing.

    The text after the ``$`` may hold variables of the top level, numbers, ``+ - * / //`` and ``ceil(...)``. Of a pair
    such as ``crop_size`` both numbers are computed with. A variable alone may hold anything, a pipeline for example.

    Args:
        cfg: A config (:class:`mmengine.config.Config`) or a dict.

    Raises:
        ValueError: A variable that the config does not define, variables that are defined by one another, or an
            expression of another kind; with the place where it stands.
    """
    values = _Variables(cfg)
    for name in list(cfg.keys()):
        value = cfg[name]
        if isinstance(value, (str, dict, list, tuple)):
            new = values[name]
            if new is not value:
                cfg[name] = new


def referenced_variables(cfg) -> set[str]:
    """Names of the variables that some ``'$...'`` of a config uses."""
    found, pending = set(), list(cfg.values())
    while pending:
        value = pending.pop()
        if is_symbolic(value):
            found |= set(re.findall(r'[A-Za-z_]\w*', value)) - {'ceil'}
        elif isinstance(value, dict):
            pending.extend(value.values())
        elif isinstance(value, (list, tuple)):
            pending.extend(value)
    return found


def is_symbolic(value) -> bool:
    return isinstance(value, str) and _SYMBOLIC.match(value) is not None


class _Variables:
    """The top level of a config with all values worked out, each when it is first asked for."""

    def __init__(self, cfg: Mapping) -> None:
        self.cfg, self.done, self.open = cfg, {}, []

    def __getitem__(self, name: str):
        if name in self.done:
            return self.done[name]
        if name in self.open:
            raise ValueError(
                f'The variables {" -> ".join([*self.open, name])} of the config are defined by one another.'
            )
        self.open.append(name)
        self.done[name] = self.resolve(self.cfg[name], name)
        self.open.pop()
        return self.done[name]

    def resolve(self, value, place: str):
        """``value`` with all that is symbolic worked out; dicts are changed in place, lists made anew if needed."""
        if is_symbolic(value):
            return self.evaluate(value, place)
        if isinstance(value, dict):
            for key in list(value.keys()):
                old = value[key]
                new = self.resolve(old, f'{place}.{key}')
                if new is not old:
                    value[key] = new
        elif isinstance(value, (list, tuple)):
            items = [self.resolve(item, f'{place}.{i}') for i, item in enumerate(value)]
            if any(new is not old for new, old in zip(items, value, strict=True)):
                return type(value)(items)
        return value

    def evaluate(self, text: str, place: str):
        try:
            tree = ast.parse(text[1:].strip(), mode='eval').body
        except SyntaxError as error:
            raise ValueError(_unknown_form(text, place)) from error
        return deepcopy(self._value(tree, text, place))

    def _value(self, node: ast.expr, text: str, place: str):
        if isinstance(node, ast.Name):
            return self._variable(node.id, text, place)
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            return node.value
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            sides = (self._value(side, text, place) for side in (node.left, node.right))
            return _each(_OPERATORS[type(node.op)], text, place, *sides)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == 'ceil' and len(node.args) == 1:
            return _each(math.ceil, text, place, self._value(node.args[0], text, place))
        raise ValueError(_unknown_form(text, place))

    def _variable(self, name: str, text: str, place: str):
        if name in self.cfg and self.cfg[name] is not None:
            return self[name]
        close = get_close_matches(name, list(self.cfg.keys()), n=1)
        raise ValueError(
            f"{place} is '{text}', but the config has no variable {name}. "
            + (f'Did you mean ${close[0]}?' if close else f'Set it at the top level of the config: {name} = ...')
        )


def _each(function: Callable, text: str, place: str, *operands):
    """``function`` of numbers, and of pairs number by number."""
    lengths = {len(x) for x in operands if isinstance(x, (list, tuple))}
    try:
        if not lengths:
            return function(*operands)
        (length,) = lengths
        columns = (list(x) if isinstance(x, (list, tuple)) else [x] * length for x in operands)
        return tuple(function(*numbers) for numbers in zip(*columns, strict=True))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{place} is '{text}', which cannot be computed with {' and '.join(map(repr, operands))}: numbers, or "
            'pairs of numbers such as (H, W), are needed.'
        ) from error


def _unknown_form(text: str, place: str) -> str:
    return (
        f"{place} is '{text}'. After the $ comes a variable of the config, alone or with numbers, + - * / // and "
        "ceil(...), as in '$crop_size // 16'."
    )
