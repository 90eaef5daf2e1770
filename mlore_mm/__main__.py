"""Runs a tool by its name from any folder: ``python -m mlore_mm train CONFIG``. Without a name it lists them."""

import ast
import runpy
import sys
from difflib import get_close_matches
from pathlib import Path

import mlore_mm

PACKAGE = Path(mlore_mm.__file__).resolve().parent


def tools_folder() -> Path:
    """That of the installation, ``mlore_mm/.mim/tools``, or else that of the repository around the package.

    Raises:
        ValueError: There is neither.
    """
    for folder in (PACKAGE / '.mim' / 'tools', PACKAGE.parent / 'tools'):
        if (folder / 'train.py').is_file():
            return folder
    raise ValueError(
        f'There are no tools in {PACKAGE}/.mim/tools, where an installation puts them, nor in {PACKAGE.parent}/tools. '
        'Install the package again: pip install .'
    )


def find_tools(folder: Path) -> dict[str, Path]:
    """The Python command lines by name: those of the folder first, then those of its folders."""
    scripts = [*sorted(folder.glob('*.py')), *sorted(folder.glob('*/*.py'))]
    return {script.stem: script for script in scripts}


def list_tools(tools: dict[str, Path]) -> str:
    """A line per tool: its name and the first sentence of its docstring."""
    width, lines = max(map(len, tools)), []
    for name, script in tools.items():
        text = ast.get_docstring(ast.parse(script.read_text(encoding='utf-8'))) or ''
        lines.append(f'  {name:<{width}}  {" ".join(text.split(chr(10) * 2)[0].split())}')
    return '\n'.join(lines)


def main(argv: list[str] | None = None) -> None:
    """Run the tool that the first argument names; it sees the others as its own.

    Raises:
        SystemExit: As the tool ends, or with status 2 where there is no tool of that name.
    """
    name, *arguments = (sys.argv[1:] if argv is None else argv) or ['--help']
    try:
        folder = tools_folder()
    except ValueError as error:
        sys.exit(f'error: {error}')
    tools = find_tools(folder)
    if name in ('-h', '--help'):
        print(f'usage: python -m mlore_mm TOOL ...   (TOOL --help says more)\n\n{list_tools(tools)}')
        print(f'\nConfigs are in {folder.parent / "configs"}')
        return
    script = tools.get(Path(name).stem)
    if script is None:
        meant = get_close_matches(name, tools, n=1)
        hint = f"Did you mean '{meant[0]}'?" if meant else 'python -m mlore_mm lists them.'
        print(f"error: There is no tool '{name}'. {hint}", file=sys.stderr)
        sys.exit(2)
    sys.argv[:] = [str(script), *arguments]
    sys.path[0] = str(script.parent)  # as for a script that is run
    runpy.run_path(str(script), run_name='__main__')


if __name__ == '__main__':
    main()
