"""torch.compile for the network, from images to logits, and plain PyTorch where there is no compiler."""

import logging
import os
import shutil
from collections.abc import Callable, Mapping
from importlib.util import find_spec

import torch
from mmengine.logging import print_log
from torch import nn

from mlore_mm.utils.unwrap import bare_model

CXX = ('g++', 'clang++', 'c++', 'cl')


def compile_network(model: nn.Module, options: bool | Mapping = True) -> bool:
    """Compile encoder, neck and decoder of a model as one graph, in place; training and inference use it from then on.

    The first call takes minutes. A second size of image makes height and width free, which compiles once more. Losses,
    labels and the resizing of predictions stay outside.

    Args:
        model: A :class:`MultiTaskEncoderDecoder`, in whatever wrapper.
        options: Of ``torch.compile``, such as ``dict(mode='max-autotune')``; True for none, False does nothing.

    Returns:
        Whether it will be compiled; where not, the log says why and the model computes as before.
    """
    if options is False or options is None:
        return False
    options = {} if options is True else dict(options)
    bare = bare_model(model)
    device = next((p.device.type for p in bare.parameters()), 'cpu')
    reason = missing_compiler(device) if options.get('backend', 'inductor') == 'inductor' else ''
    if reason:
        print_log(f'Not compiled, computing as usual: {reason}', 'current', logging.WARNING)
        return False
    bare.network = CompiledFunction(type(bare).network, options)
    print_log('The network is compiled: the first iterations take minutes.', 'current')
    return True


def missing_compiler(device: str) -> str:
    """What PyTorch's own backend lacks for a type of device, or an empty string."""
    if device == 'cuda' and find_spec('triton') is None:
        return 'torch.compile needs Triton on a GPU (pip install triton).'
    named = os.environ.get('CXX')
    if any(shutil.which(name) for name in ([named] if named else CXX)):
        return ''
    found = f'CXX names {named!r}, which is not there' if named else f'none of {", ".join(CXX)} was found'
    return f'torch.compile needs a C++ compiler, and {found} (apt-get install g++).'


class CompiledFunction:
    """A function, compiled at its first call; where that fails the log says so once, and it runs as it is.

    A copy of a model shares it, so the function takes the model as an argument.
    """

    def __init__(self, function: Callable, options: Mapping) -> None:
        self.function = function
        self.compiled: Callable | None = torch.compile(function, **options)

    def __deepcopy__(self, memo: dict) -> 'CompiledFunction':
        return self

    def __call__(self, *args):
        if self.compiled is None:
            return self.function(*args)
        try:
            return self.compiled(*args)
        except Exception as error:
            if not isinstance(error, torch._dynamo.exc.TorchDynamoException):
                raise
            line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            print_log(f'Compiling failed, computing as usual: {line}', 'current', logging.WARNING)
            self.compiled = None
            return self.function(*args)
