"""Finds a model by its name in ``model-index.yml``."""

from difflib import get_close_matches
from functools import cache
from pathlib import Path

import yaml

import mlore_mm


@cache
def _root() -> Path:
    """Where configs and the index lie: the repository, or the copy that the installation made."""
    package = Path(mlore_mm.__file__).parent
    for root in (package.parent, package / '.mim'):
        if (root / 'model-index.yml').is_file():
            return root
    raise ValueError(
        f'No model-index.yml beside {package} nor in it: install mlore_mm with pip, or give a config file.'
    )


@cache
def _models() -> dict[str, dict]:
    """Name to entry, of all the files that the index imports."""
    index = yaml.safe_load((_root() / 'model-index.yml').read_text(encoding='utf-8'))
    files = [yaml.safe_load((_root() / path).read_text(encoding='utf-8')) for path in index['Import']]
    return {model['Name']: model for file in files for model in file['Models']}


def list_models() -> list[str]:
    """Names that :func:`find_model` knows."""
    return list(_models())


def find_model(name: str) -> tuple[str, str | None]:
    """Config file and weights (None where none are published) of a model; a path of a config comes back as it is.

    Raises:
        ValueError: No such model and no such file, with the names that come close.
    """
    if Path(name).is_file():
        return name, None
    models = _models()
    if name in models:
        return str(_root() / models[name]['Config']), models[name].get('Weights')
    close = get_close_matches(name, models, n=3, cutoff=0.4) or list(models)[:5]
    raise ValueError(f"'{name}' is neither a config file nor a model of model-index.yml. Similar: {', '.join(close)}.")
