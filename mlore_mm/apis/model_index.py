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


def list_models() -> list[str]:
    """Names that :func:`find_model` knows."""
    index = yaml.safe_load((_root() / 'model-index.yml').read_text(encoding='utf-8'))
    return [model['Name'] for model in index['Models']]


def find_model(name: str) -> tuple[str, str | None]:
    """Config file and weights (None where none are published) of a model; a path of a config comes back as it is.

    Raises:
        ValueError: No such model and no such file, with the names that come close.
    """
    if Path(name).is_file():
        return name, None
    index = yaml.safe_load((_root() / 'model-index.yml').read_text(encoding='utf-8'))
    models = {model['Name']: model for model in index['Models']}
    if name in models:
        return str(_root() / models[name]['Config']), models[name].get('Weights')
    close = get_close_matches(name, models, n=3, cutoff=0.4) or list(models)
    raise ValueError(f"'{name}' is neither a config file nor a model of model-index.yml. Similar: {', '.join(close)}.")
