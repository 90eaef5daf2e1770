"""The one way in which this package compiles its loops."""

from collections.abc import Callable

import numba


def compiled(function: Callable) -> Callable:
    """Compile ``function`` with numba at its first call, and keep the machine code for later processes.

    Importing compiles nothing. numba keeps its cache beside the source file or, if that folder is read-only, under
    the user's cache folder (or ``NUMBA_CACHE_DIR``). Where neither can be written, numba refuses to decorate; then the
    function is compiled once per process.

    numba notices a change of the function's own file only, not of a file whose functions it calls: after editing one of
    them, touch the callers or clear the cache.
    """
    options = dict(nogil=True, error_model='numpy')
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return numba.njit(**options)(function)
