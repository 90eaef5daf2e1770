"""Arithmetic of 16 bits: which kinds there are, where it is on, and whether the processor has it."""

import logging
import platform
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch
from mmengine.logging import print_log

# As command lines call them; None is full precision.
DTYPES = dict(fp32=None, bf16=torch.bfloat16, fp16=torch.float16)


def default_half(device: str | torch.device) -> str:
    """What ``--amp`` means on a device: 'fp16' on a GPU, 'bf16' on a CPU."""
    return 'fp16' if torch.device(device).type == 'cuda' else 'bf16'


def check_dtype(name: str, device: str | torch.device) -> str:
    """``name``, which must be one of ``DTYPES`` and possible on the device; a line in the log where it is slow.

    Raises:
        ValueError: Another name, or 'fp16' on a CPU, whose convolutions and matrix products have bf16 only.
    """
    if name not in DTYPES:
        raise ValueError(f'dtype is one of {", ".join(DTYPES)}, but got {name!r}.')
    on_cpu = torch.device(device).type == 'cpu'
    if on_cpu and name == 'fp16':
        raise ValueError("On a CPU 16 bits are 'bf16', but got dtype='fp16'.")
    if on_cpu and name == 'bf16' and not has_bf16():
        print_log(
            'This processor has no bf16 instructions (AVX512-BF16, AMX): bf16 is imitated and slower than fp32.',
            'current',
            logging.WARNING,
        )
    return name


def autocast_to(name: str, device: str | torch.device) -> AbstractContextManager:
    """Autocast on the device to a type of ``DTYPES``; weights, norms' statistics, routers and losses stay in fp32."""
    dtype = DTYPES[name]
    return nullcontext() if dtype is None else torch.autocast(torch.device(device).type, dtype)


@cache
def has_bf16() -> bool:
    """Whether this CPU multiplies bf16 by instructions of its own."""
    if platform.machine().lower() in ('x86_64', 'amd64', 'i686'):
        checks = ('_is_avx512_bf16_supported', '_is_amx_tile_supported')
        return any(getattr(torch.cpu, check, bool)() for check in checks)
    supported = getattr(torch.ops.mkldnn, '_is_mkldnn_bf16_supported', None)
    return supported is not None and bool(supported())
