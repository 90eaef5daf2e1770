"""Which keys a class takes from a config, through the ``**kwargs`` of its parents, and which key was meant."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from types import NoneType, UnionType
from typing import Union, get_args, get_origin

_PLAIN = {'bool': bool, 'int': int, 'float': float, 'str': str, 'None': NoneType}


@dataclass(frozen=True)
class Accepted:
    """What a class or function takes.

    Args:
        names: Parameters by name, with the simple types that are expected, or None where anything may come.
        complete: Whether nothing else is taken. False where ``**kwargs`` go somewhere that cannot be followed.
    """

    names: dict[str, tuple[type, ...] | None]
    complete: bool


@cache
def accepted_keys(target: Callable) -> Accepted:
    """The keys of a config from which ``target`` is built."""
    names: dict[str, tuple[type, ...] | None] = {}
    for function in _constructors(target):
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (ValueError, TypeError):  # written in C
            return Accepted(names, False)
        if isinstance(target, type) and inspect.isfunction(function):
            parameters = parameters[1:]
        rest = None
        for parameter in parameters:
            if parameter.kind is parameter.VAR_KEYWORD:
                rest = parameter.name
            elif parameter.kind is not parameter.VAR_POSITIONAL:
                names.setdefault(parameter.name, _simple_types(parameter.annotation))
        if rest is None:
            return Accepted(names, True)
        goes_on, read = _follow(function, rest)
        names.update({key: None for key in read if key not in names})
        if not goes_on:
            return Accepted(names, False)
    return Accepted(names, False)


def closest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name that was probably meant."""
    known = [x for x in known if not x.startswith('_')]
    lower = {x.lower(): x for x in reversed(known)}
    found = get_close_matches(name.lower(), lower, n=1, cutoff=cutoff)
    if found:
        return lower[found[0]]
    inside = [x for x in known if len(name) > 2 and name.lower() in x.lower()]
    return inside[0] if len(inside) == 1 else None


def unknown_keys(config: dict, accepted: Accepted, extra: Iterable[str] = ()) -> dict[str, str]:
    """The keys that are not taken, each with what to say about it."""
    known = [*accepted.names, *extra]
    problems = {}
    for key in config:
        if key in known or str(key).startswith('_'):
            continue
        meant = closest(str(key), known, 0.6 if accepted.complete else 0.84)
        if accepted.complete or meant:
            taken = ', '.join(sorted(x for x in known if not x.startswith('_'))) or 'nothing'
            problems[key] = f'Did you mean {meant!r}?' if meant else f'It takes {taken}.'
    return problems


def wrong_text(value, expected: tuple[type, ...] | None) -> str | None:
    """What is wrong with a text where a number, or yes or no, is expected; None where nothing is."""
    if not isinstance(value, str) or not expected or str in expected:
        return None
    wanted = ' or '.join('None' if x is NoneType else x.__name__ for x in expected)
    return f'is the text {value!r}, expected {wanted}'


def _constructors(target: Callable) -> Iterable[Callable]:
    """``__init__`` of a class, then of its parents in the order in which they call one another."""
    if not isinstance(target, type):
        yield target
        return
    for cls in target.__mro__:
        if '__init__' in vars(cls) and cls is not object:
            yield vars(cls)['__init__']
    yield _nothing


def _nothing(self) -> None:
    """``object.__init__``: takes nothing more."""


@cache
def _follow(function: Callable, rest: str) -> tuple[bool, tuple[str, ...]]:
    """Whether ``**kwargs`` go to ``super().__init__`` only, and the keys that are read from them by name."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return False, ()
    receivers, read, harmless, uses = [], [], 0, 0
    for node in ast.walk(tree):
        uses += _is_name(node, rest)
        if isinstance(node, ast.Attribute):  # kwargs.get, kwargs.pop
            harmless += _is_name(node.value, rest)
        elif isinstance(node, ast.Subscript):
            harmless += _is_name(node.value, rest)
            read += [node.slice] * _is_name(node.value, rest)
        elif isinstance(node, ast.Compare):  # 'key' in kwargs
            harmless += sum(_is_name(side, rest) for side in node.comparators)
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute) and _is_name(node.func.value, rest):
                read += node.args[:1]
            unpacked = [x for x in node.keywords if x.arg is None and _is_name(x.value, rest)]
            receivers += [ast.unparse(node.func)] * len(unpacked)
    to_parent = len(receivers) == 1 and receivers[0].startswith('super(') and receivers[0].endswith('.__init__')
    keys = tuple(x.value for x in read if isinstance(x, ast.Constant) and isinstance(x.value, str))
    return to_parent and uses == harmless + 1, keys


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _simple_types(annotation) -> tuple[type, ...] | None:
    """The types of an annotation such as ``bool`` or ``int | None``; None where it is not as simple as that."""
    if isinstance(annotation, str):
        parts = [_PLAIN.get(part.strip()) for part in annotation.split('|')]
    elif get_origin(annotation) in (Union, UnionType):
        parts = list(get_args(annotation))
    else:
        parts = [annotation]
    return tuple(parts) if all(part in _PLAIN.values() for part in parts) else None
