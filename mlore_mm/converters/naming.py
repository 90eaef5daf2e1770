"""Whatever goes wrong with a file while it is converted is told with its name."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Inside, a ValueError gets the file's name where it lacks it, and errors of odd content become one.

    Raises:
        ValueError: As said.
    """
    try:
        yield
    except ValueError as error:
        if str(path) in str(error):
            raise
        raise ValueError(f'{path}: {error}') from error
    except (KeyError, IndexError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(
            f'{path} has not the form of the weights that are converted here ({type(error).__name__}: {error}).'
        ) from error
