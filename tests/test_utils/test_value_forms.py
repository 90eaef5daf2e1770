"""Values of a config against annotations."""

from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Optional, Union

import pytest
from torch import Tensor

from mlore_mm.utils.value_forms import ListOf, forms_of, wrong_form, wrong_text

PAIR = forms_of(tuple[int, int])


@pytest.mark.parametrize(
    ('annotation', 'forms'),
    [
        (int, (int,)),
        (Optional[bool], (bool, NoneType)),  # noqa: UP045
        (str | dict, (str, dict)),
        (Mapping[str, int], (dict,)),
        (Union[int, Sequence[int]], (int, ListOf((int,)))),  # noqa: UP007
        (tuple[float, ...], (ListOf((float,)),)),
        (tuple[int, int], (ListOf((int,), 2),)),
        (list, (ListOf(),)),
        (Tensor, None),
        (int | Tensor, None),
    ],
)
def test_annotations(annotation, forms):
    assert forms_of(annotation) == forms


@pytest.mark.parametrize(
    ('value', 'forms', 'said'),
    [
        ('40', (int, float), "is the text '40', expected int or float"),
        ('40', (str, int), None),
        (40, (int,), None),
        ('x', None, None),
        ('ten', (int, ListOf((int,))), "is the text 'ten', expected int or a list of int"),
        ('ab', (ListOf((str,)),), None),
    ],
)
def test_texts(value, forms, said):
    assert wrong_text(value, forms) == said


@pytest.mark.parametrize(
    ('value', 'forms', 'said'),
    [
        (128, PAIR, 'is 128, expected 2 numbers'),
        ((1, 2, 3), PAIR, 'is (1, 2, 3), expected 2 numbers'),
        ([1, 2], PAIR, None),
        ((1, 'b'), PAIR, "is (1, 'b'), expected 2 numbers"),
        (1.5, (int,), 'is 1.5, expected int'),
        (2.0, (int,), None),
        (2, (float,), None),
        (2, (bool,), 'is 2, expected bool'),
        (1, (bool,), None),
        (None, (int,), None),
        ([1], (float,), 'is [1], expected float'),
        ({}, (dict,), None),
        ('a', (dict, NoneType), "is the text 'a', expected dict or None"),
        (object(), (int,), None),
    ],
)
def test_forms(value, forms, said):
    assert wrong_form(value, forms) == said


@pytest.mark.parametrize(
    ('value', 'annotation', 'said'),
    [
        (1.0, bool, None),
        (0.5, bool, 'is 0.5, expected bool'),
        (True, int, None),
        (True, float, None),
        ('ab', list[str], "is the text 'ab', expected a list of str"),
        (['a'], list[str], None),
        ([1], list[str], 'is [1], expected a list of str'),
        ((1,), list, None),
        ([1, 'a'], tuple[int, str], None),
        ([1], tuple[int, str], 'is [1], expected a list of 2'),
        ([1, 2], tuple[str, str], 'is [1, 2], expected a list of str'),
        ([None, 2], tuple[int, int], None),
        ({}, list, 'is {}, expected a list'),
        ([], dict, 'is [], expected dict'),
        (3, str, 'is 3, expected str'),
        ((1, 2), tuple, None),
        ('x', None, "is the text 'x', expected None"),
    ],
)
def test_values_against_annotations(value, annotation, said):
    assert wrong_form(value, forms_of(annotation)) == said


def test_texts_where_lists_are_expected():
    assert wrong_text('ab', forms_of(list)) is None
    assert wrong_text('ab', forms_of(tuple[int, int])) == "is the text 'ab', expected 2 numbers"
    assert wrong_text('ab', forms_of(bool)) == "is the text 'ab', expected bool"
