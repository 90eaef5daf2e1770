"""The structure: who imports whom. No circles, nothing upward, and no other library's private names."""

import ast
from functools import cache

import pytest

from tests.shared import REPO

PACKAGE = REPO / 'mlore_mm'
# A room may import itself, `registry`, `version`, `utils`, and what stands here.
ALLOWED = {
    'utils': (),
    'synth_rooms': ('datasets',),
    'structures': (),
    'routing': (),
    'tasks': (),
    'datasets': ('tasks', 'structures'),
    'models': ('tasks', 'structures', 'routing'),
    'evaluation': ('tasks', 'structures'),
    'visualization': ('tasks', 'structures', 'routing'),
    'engine': ('tasks', 'structures', 'routing', 'datasets', 'models', 'evaluation', 'visualization'),
    'converters': ('tasks', 'structures', 'routing', 'models', 'engine'),
}
EVERYONE = ('registry', 'version', 'utils')


@cache
def modules() -> dict[str, ast.Module]:
    """Dotted name to parsed source of every module of the package."""
    found = {}
    for path in PACKAGE.rglob('*.py'):
        if '.mim' not in path.parts:
            name = '.'.join(path.relative_to(REPO).with_suffix('').parts).removesuffix('.__init__')
            found[name] = ast.parse(path.read_text(encoding='utf-8'))
    return found


def imports(name: str, tree: ast.Module) -> set[str]:
    """Modules of the package that a module imports, wherever in it."""
    package = name if (PACKAGE.parent / name.replace('.', '/') / '__init__.py').exists() else name.rpartition('.')[0]
    targets = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ''
            if node.level:
                parents = package.split('.')[: len(package.split('.')) - node.level + 1]
                base = '.'.join([*parents, base]).rstrip('.')
            targets |= {f'{base}.{a.name}' if f'{base}.{a.name}' in modules() else base for a in node.names}
    return {target for target in targets if target in modules() and target != name}


# Base classes that have no public name.
PRIVATE = {
    'mlore_mm.engine.fsdp_strategy': 'mmengine._strategy',
    'mlore_mm.models.ops.sync_batch_norm': 'torch.nn.modules.batchnorm',
}


def test_no_private_names_of_other_packages():
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or node.level or node.module.startswith(('mlore_mm', '__future__')):
                continue
            parts = [*node.module.split('.'), *(alias.name for alias in node.names)]
            private = [part for part in parts if part.startswith('_')]
            assert not private or PRIVATE.get(name) == node.module, f'{name} imports {node.module}: {private}'


def test_nothing_of_other_packages_is_replaced():
    """No assignment to an attribute of a module that is imported, such as `torch.autocast = ...`."""
    for name, tree in modules().items():
        imported = {
            (alias.asname or alias.name).split('.')[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
            if not alias.name.startswith('mlore_mm')
        }
        for node in ast.walk(tree):
            for target in node.targets if isinstance(node, ast.Assign) else []:
                if ast.unparse(target) == 'threading.excepthook':  # there to be assigned to
                    continue
                if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
                    assert target.value.id not in imported, f'{name} line {node.lineno} replaces {ast.unparse(target)}'


def room(name: str) -> str:
    return name.split('.')[1] if '.' in name else ''


@pytest.mark.parametrize('owner', sorted(ALLOWED))
def test_no_room_imports_what_is_above_or_beside_it(owner):
    allowed = {owner, *ALLOWED[owner], *EVERYONE}
    wrong = [
        f'{name} imports {target}'
        for name, tree in modules().items()
        if room(name) == owner
        for target in imports(name, tree)
        if room(target) and room(target) not in allowed
    ]
    assert not wrong, '\n'.join(wrong)


def test_no_modules_import_each_other_in_a_circle():
    graph = {name: imports(name, tree) for name, tree in modules().items()}
    graph = {
        # A package's __init__ collects its modules; a module that imports a sibling does not need the collection.
        name: {t for t in targets if not name.startswith(t + '.')}
        for name, targets in graph.items()
    }
    done, path = set(), []

    def visit(name: str) -> None:
        assert name not in path, f'a circle: {" -> ".join([*path[path.index(name) :], name])}'
        if name in done:
            return
        path.append(name)
        for target in sorted(graph[name]):
            visit(target)
        done.add(path.pop())

    for name in sorted(graph):
        visit(name)
