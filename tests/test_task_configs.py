"""The tasks of the configs say what differs from the task's defaults, and nothing else."""

import ast
from dataclasses import MISSING, fields

import pytest
from mmengine.registry import init_default_scope

from mlore_mm.registry import TASKS
from tests.shared import REPO

FACTS = ('type', 'out_channels')  # of the labels; their number of channels may stand beside the classes


def repeated(path) -> list[str]:
    """The options in ``task=dict(type=..., option=...)`` that the class of the task has by default."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        options = _literals(node)
        if not isinstance(options.get('type'), str) or options['type'] not in TASKS:
            continue
        for field in fields(TASKS.get(options['type'])):
            default = field.default if field.default_factory is MISSING else field.default_factory()
            if field.name in options and field.name not in FACTS and options[field.name] == default:
                found.append(f'{options["type"]}.{field.name}={default!r}')
    return found


def _literals(node: ast.AST) -> dict:
    """The keywords of a call of ``dict`` whose values are plain, such calls among them."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict'):
        return {}
    values = {}
    for keyword in node.keywords:
        if isinstance(keyword.value, ast.Call):
            values[keyword.arg] = _literals(keyword.value)
        elif isinstance(keyword.value, ast.Constant):
            values[keyword.arg] = keyword.value.value
    return values


@pytest.mark.parametrize('path', sorted((REPO / 'configs').rglob('*.py')), ids=lambda path: path.stem)
def test_no_default_is_repeated(path):
    init_default_scope('mlore_mm')
    assert repeated(path) == []


def test_what_is_repeated_is_found(tmp_path):
    init_default_scope('mlore_mm')
    path = tmp_path / 'config.py'
    path.write_text("tasks = dict(edge=dict(type='Edge', loss_weight=50.0, metric=dict(type='BoundaryMetric')))")
    assert repeated(path) == ['Edge.loss_weight=50.0']
