"""Which keys a class takes from a config, through the ``**kwargs`` of its parents, and which key was meant."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache

from torch import nn

from mlore_mm.utils.value_forms import Forms, forms_of


@dataclass(frozen=True)
class Accepted:
    """What a class or function takes.

    Args:
        names: Parameters by name, with the forms of values that are expected, or None where anything may come.
        complete: Whether nothing else is taken. False where ``**kwargs`` go somewhere that cannot be followed.
        passed_to: Parameter that names the class which takes the rest, with its default, as ``ema_type`` of mmengine's
            EMAHook.
    """

    names: dict[str, Forms | None]
    complete: bool
    passed_to: tuple[str, str] | None = None


@cache
def accepted_keys(target: Callable) -> Accepted:
    """The keys of a config from which ``target`` is built."""
    names: dict[str, Forms | None] = {}
    fixed: set[str] = set()  # what a class gives its parent itself
    for function in _constructors(target):
        try:
            parameters = _parameters(function)
        except (ValueError, TypeError):  # written in C
            return Accepted(names, False)
        if isinstance(target, type) and inspect.isfunction(function):
            parameters = parameters[1:]
        rest = None
        for parameter in parameters:
            if parameter.kind is parameter.VAR_KEYWORD:
                rest = parameter.name
            elif parameter.kind is not parameter.VAR_POSITIONAL and parameter.name not in fixed:
                names.setdefault(parameter.name, _forms(parameter))
        if rest is None:
            return Accepted(names, True)
        goes_on, read, typed_by, given = _follow(function, rest)
        fixed |= set(given) - set(names)
        names.update({key: None for key in read if key not in names})
        if not goes_on:
            default = next((x.default for x in parameters if x.name == typed_by), None)
            return Accepted(names, False, (typed_by, default) if isinstance(default, str) else None)
    return Accepted(names, False)


def _forms(parameter: inspect.Parameter) -> Forms | None:
    """By its annotation, or where it has none by a default that is a number, yes or no."""
    by_default = parameter.annotation is parameter.empty and isinstance(parameter.default, (bool, int, float))
    return forms_of(type(parameter.default) if by_default else parameter.annotation)


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


def _constructors(target: Callable) -> Iterable[Callable]:
    """``__init__`` of a class, then of its parents in the order in which they call one another."""
    if not isinstance(target, type):
        yield target
        return
    for cls in target.__mro__:
        if '__init__' in vars(cls) and cls not in (object, nn.Module):  # whose **kwargs are refused
            yield vars(cls)['__init__']
    yield _nothing


def _parameters(function: Callable) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function, eval_str=True).parameters.values())
    except (NameError, AttributeError, SyntaxError, TypeError):  # names that are there for type checkers only
        return list(inspect.signature(function).parameters.values())


def _nothing(self) -> None:
    """``object.__init__``: takes nothing more."""


@cache
def _follow(function: Callable, rest: str) -> tuple[bool, tuple[str, ...], str | None, tuple[str, ...]]:
    """Whether ``**kwargs`` go to ``super().__init__`` only, the keys that are read from them by name, the variable that
    names the class where they go into ``dict(type=variable, **kwargs)``, and what stands beside them in the call."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return False, (), None, ()
    receivers, read, beside, typed_by, harmless, uses = [], [], [], None, 0, 0
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
            beside += [x.arg for x in node.keywords if x.arg is not None and unpacked]
            if unpacked and ast.unparse(node.func) == 'dict':
                named = (x.value for x in node.keywords if x.arg == 'type')
                typed_by = next((x.id for x in named if isinstance(x, ast.Name)), None)
    to_parent = len(receivers) == 1 and receivers[0].startswith('super(') and receivers[0].endswith('.__init__')
    keys = tuple(x.value for x in read if isinstance(x, ast.Constant) and isinstance(x.value, str))
    typed_by = typed_by if len(receivers) == 1 else None
    return to_parent and uses == harmless + 1, keys, typed_by, tuple(beside) if to_parent else ()


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
