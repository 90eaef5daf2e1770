"""Where the reference data lies that is too large for the repository, and a skip where it is not there."""

import os
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]


def shared_path(relative: str) -> Path:
    """The path of a file or folder of the reference data, or a skip of the calling test that says why.

    The data is looked for in the folder named by the environment variable ``MLORE_MM_SHARED``, else in ``shared``
    beside the repository.

    Args:
        relative: Path below that folder, such as ``golden/data``.
    """
    root = Path(os.environ.get('MLORE_MM_SHARED') or REPO.parent / 'shared')
    path = root / relative
    if not path.exists():
        pytest.skip(f'{relative} is not in {root}; set MLORE_MM_SHARED to the folder of the reference data')
    return path
