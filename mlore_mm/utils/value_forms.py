"""What an annotation such as ``int | None`` or ``tuple[int, int]`` says about a value in a config, and what misfits."""

import collections.abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

NUMBERS = (bool, int, float)
_PLAIN = (*NUMBERS, str, NoneType)
_LISTS = (list, tuple, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
_DICTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


@dataclass(frozen=True)
class ListOf:
    """A list or tuple.

    Args:
        item: Forms of its items, None where anything may be.
        length: How many, None for any number.
    """

    item: tuple | None = None
    length: int | None = None


# A form is a plain type, a ListOf, or dict.
Forms = tuple[Any, ...]


def forms_of(annotation) -> Forms | None:
    """The forms that an annotation allows; None where anything may come, or the annotation is of another kind."""
    if annotation is None:
        return (NoneType,)
    if annotation in _PLAIN:
        return (annotation,)
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        parts = [forms_of(part) for part in inside]
        return None if None in parts else tuple(form for part in parts for form in part)
    if annotation in _LISTS or origin in _LISTS:
        return (_list_of(origin, inside),)
    if annotation in _DICTS or origin in _DICTS:
        return (dict,)
    return None


def _list_of(origin, inside: tuple) -> ListOf:
    if origin is tuple and Ellipsis not in inside:
        kinds = {forms_of(part) for part in inside}
        return ListOf(kinds.pop() if len(kinds) == 1 else None, len(inside))
    return ListOf(forms_of(inside[0]) if inside else None)


def wrong_text(value, expected: Forms | None) -> str | None:
    """What is wrong with a text where a number, a list of numbers, or yes or no is expected; None where nothing is."""
    if not isinstance(value, str) or not expected or str in expected:
        return None
    if any(isinstance(form, ListOf) and (form.item is None or str in form.item) for form in expected):
        return None
    return f'is the text {value!r}, expected {_words(expected)}'


def wrong_form(value, expected: Forms | None) -> str | None:
    """What is wrong with any value, of whatever form; None where nothing is.

    None passes for every form, whole numbers for fractions, tuples for lists, and what is no value of a config.
    """
    if not expected or value is None or any(_fits(value, form) for form in expected):
        return None
    if isinstance(value, str):
        return f'is the text {value!r}, expected {_words(expected)}'
    if isinstance(value, (*NUMBERS, list, tuple, Mapping)):
        return f'is {value!r}, expected {_words(expected)}'
    return None


def _fits(value, form) -> bool:
    if form in (int, bool) and isinstance(value, float):
        return value == form(value)
    if form is bool and isinstance(value, int):
        return value in (0, 1)
    if form in (int, float):
        return isinstance(value, NUMBERS)
    if isinstance(form, ListOf):
        right = isinstance(value, Sequence) and not isinstance(value, str) and form.length in (None, len(value))
        return right and (not form.item or all(wrong_form(item, form.item) is None for item in value))
    return isinstance(value, Mapping if form is dict else form)


def _words(forms: Forms) -> str:
    return ' or '.join(_word(form) for form in forms)


def _word(form) -> str:
    if form is NoneType:
        return 'None'
    if isinstance(form, ListOf):
        if form.length and form.item and set(form.item) <= {*NUMBERS}:
            return f'{form.length} numbers'
        inside = _words(form.item) if form.item else form.length
        return f'a list of {inside}' if inside else 'a list'
    return form.__name__
