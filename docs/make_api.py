"""Write docs/api.md: every registered class with the first line of its docstring, read from the sources.

Nothing is imported, so that it runs without PyTorch.

Example:
    python docs/make_api.py docs/api.md
"""

import ast
import re
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / 'mlore_mm'
TITLES = dict(
    TASKS='Tasks',
    DATASETS='Data sets',
    LABEL_READERS='Label readers',
    TRANSFORMS='Transforms',
    DATA_SAMPLERS='Samplers',
    MODELS='Models, backbones, decoders, losses',
    METRICS='Metrics',
    EVALUATOR='Evaluators',
    HOOKS='Hooks',
    VISUALIZERS='Visualizers',
    VISBACKENDS='Where pictures and curves go',
    INFERENCERS='Inferencers',
    RUNNERS='Runners',
    STRATEGIES='Strategies',
)
INTRO = """# API reference

Written by `docs/make_api.py`. A class is used in configs by its name, `type='SemSeg'`; arguments, units and sources are
in its docstring: `python -c "from mlore_mm.tasks import SemSeg; help(SemSeg)"`.
"""


def main(path: str) -> None:
    Path(path).write_text(page(), encoding='utf-8')
    print(f'wrote {path}')


def page() -> str:
    found = registered()
    unknown = sorted(set(found) - set(TITLES))
    lines = [INTRO, functions()]
    for registry in [*TITLES, *unknown]:
        if registry in found:
            rows = [f'| `{name}` | {text} | `{file}` |' for name, text, file in sorted(found[registry])]
            lines += [f'## {TITLES.get(registry, registry)}', '', '| Name | | File |', '| --- | --- | --- |', *rows, '']
    return '\n'.join(lines).rstrip() + '\n'


def registered() -> dict[str, list[tuple[str, str, str]]]:
    """Registry to (class, first line of its docstring, file)."""
    found: dict[str, list] = {}
    for file in sorted(PACKAGE.rglob('*.py')):
        if '.mim' in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding='utf-8'))):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                for registry in filter(None, map(_registry, node.decorator_list)):
                    entry = (node.name, first_line(node), str(file.relative_to(PACKAGE.parent).as_posix()))
                    found.setdefault(registry, []).append(entry)
    return found


def functions() -> str:
    """What ``mlore_mm.apis`` offers."""
    init = ast.parse((PACKAGE / 'apis' / '__init__.py').read_text(encoding='utf-8'))
    rows = []
    for node in init.body:
        if isinstance(node, ast.ImportFrom):
            tree = ast.parse((PACKAGE / 'apis' / f'{node.module.replace(".", "/")}.py').read_text(encoding='utf-8'))
            texts = {x.name: first_line(x) for x in tree.body if isinstance(x, ast.FunctionDef | ast.ClassDef)}
            rows += [f'| `{alias.name}` | {texts[alias.name]} |' for alias in node.names]
    return '\n'.join(['## mlore_mm.apis', '', '| Name | |', '| --- | --- |', *sorted(rows), ''])


def first_line(node) -> str:
    """The first sentence or paragraph of a docstring, on one line."""
    paragraph = ' '.join((ast.get_docstring(node) or '').split('\n\n')[0].split())
    paragraph = re.sub(r':\w+:`~?([^`]+)`', r'`\1`', paragraph)
    return paragraph.replace('|', '\\|').replace('``', '`')


def _registry(decorator: ast.expr) -> str | None:
    """'TASKS' of ``@TASKS.register_module()``."""
    call = decorator.func if isinstance(decorator, ast.Call) else decorator
    is_registration = isinstance(call, ast.Attribute) and call.attr == 'register_module'
    return call.value.id if is_registration and isinstance(call.value, ast.Name) else None


if __name__ == '__main__':
    main(sys.argv[1])
