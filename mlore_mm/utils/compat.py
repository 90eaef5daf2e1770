"""The gaps between the OpenMMLab packages and what is installed beside them, each closed in one function.

All of them run when ``mlore_mm`` is imported, may run again, and do nothing where there is no gap.
"""

import sys
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

_TORCHVISION_SCHEMAS = {
    'torchvision::nms': '(Tensor dets, Tensor scores, float iou_threshold) -> Tensor',
    'torchvision::qnms': '(Tensor dets, Tensor scores, float iou_threshold) -> Tensor',
}
# NumPy 1 and 2 name the module of two functions differently, and files of both are about.
_MULTIARRAY_MODULES = ('numpy.core.multiarray', 'numpy._core.multiarray')


def define_torchvision_operators() -> bool:
    """Let torchvision be imported where its compiled operators cannot be loaded; True if that was needed.

    The torchvision of the package index is built for CUDA. Beside a PyTorch without CUDA its library does not load, and
    then its import fails because it attaches Python code to operators that nobody has defined. mmpretrain imports
    torchvision, and so does mmengine's runner where it is installed. Defining the two operators by name and signature
    is enough: calling one still fails, but nothing of mlore_mm calls them.
    """
    if sys.platform != 'linux' or torch.version.cuda or torch.version.hip or 'torchvision' in sys.modules:
        return False
    spec = find_spec('torchvision')
    if spec is None or spec.origin is None or hasattr(torch.ops.torchvision, 'nms'):
        return False
    if any(_loads(library) for library in Path(spec.origin).parent.glob('_C*.so')):
        return False
    for name, schema in _TORCHVISION_SCHEMAS.items():
        torch.library.define(name, schema)
    return True


def _loads(library: Path) -> bool:
    """Whether the library loads, which torchvision would do next: its operators are defined once and for all."""
    try:
        torch.ops.load_library(library)
    except (OSError, ImportError):
        return False
    return True


def expect_no_compiled_operators() -> None:
    """Keep mmcv's import from warning that an operator is not compiled, which nothing of mlore_mm calls."""
    warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')


def import_optimizers() -> bool:
    """Import mmengine's optimizers without ``transformers``; True if that was needed.

    mmengine takes one optimizer from that package where it is installed, as it is with peft, and to import it takes
    seconds, in every process. Here a config that names ``Adafactor`` has it imported.
    """
    if {'mmengine.optim', 'transformers'} & set(sys.modules) or find_spec('transformers') is None:
        return False
    sys.modules['transformers'] = None  # its import fails, and mmengine goes on without
    try:
        from mmengine.optim import OPTIMIZERS
    finally:
        del sys.modules['transformers']
    OPTIMIZERS.register_module(name='Adafactor', module=_adafactor)
    return True


def _adafactor(params, **options) -> torch.optim.Optimizer:
    """``transformers.Adafactor``, imported when it is built."""
    from transformers import Adafactor

    return Adafactor(params, **options)


def allow_checkpoint_globals() -> None:
    """Let ``torch.load(weights_only=True)`` read what mmengine's runner writes beside the weights.

    A checkpoint to resume from holds the log history as ``HistoryBuffer`` objects, and NumPy scalars and arrays.
    Reading with ``weights_only=True``, the default since PyTorch 2.6, refuses those unless they are on its list of
    allowed globals. Everything added here only builds values; none of it can run code that a file brings along.
    """
    # Imported here: the version check, which explains a missing mmengine, has then been passed.
    from mmengine.logging import HistoryBuffer

    allowed = {
        'builtins.getattr': _history_buffer_method,
        f'{HistoryBuffer.__module__}.HistoryBuffer': HistoryBuffer,
        'numpy.dtype': np.dtype,
        'numpy.ndarray': np.ndarray,
    }
    for module in _MULTIARRAY_MODULES:
        allowed[f'{module}._reconstruct'] = np.empty(0).__reduce__()[0]
        allowed[f'{module}.scalar'] = np.float64().__reduce__()[0]
    for kind in '?bhilqBHILQefdU':
        dtype = type(np.dtype(kind))
        allowed[f'{dtype.__module__}.{dtype.__qualname__}'] = dtype
    # In pairs with their names: the loader of onedl-mmengine adds some of these without, and when it is done takes
    # what it added off the list again, which would take ours too.
    torch.serialization.add_safe_globals([(value, name) for name, value in allowed.items()])


def _history_buffer_method(owner: type, name: str) -> Callable:
    """What ``getattr`` may fetch for a checkpoint: the statistics of ``HistoryBuffer``, which its pickles refer to.

    ``getattr`` itself would let a file reach any attribute of any allowed object.
    """
    from mmengine.logging import HistoryBuffer

    if owner is not HistoryBuffer or str(name).startswith('_') or not callable(getattr(HistoryBuffer, str(name), None)):
        raise ValueError(f'a checkpoint asked for attribute {name!r} of {owner!r}; only statistics may be fetched')
    return getattr(HistoryBuffer, name)
