"""Peak memory of one training step, measured in a process of its own.

python benchmarks/peak_memory.py --config 'PASCAL ViT-L' --form literal

Prints the bytes that the second step needs beyond weights, gradients, inputs, and what libraries keep after a first
step. On the CPU that is the process's peak resident size (Linux), on a GPU PyTorch's peak allocation.
"""

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import torch


def peak_bytes(function, device: str) -> int:
    """Peak of ``function()`` over what is held before it is called; it is called twice, and the second call counts."""
    function()
    gc.collect()
    if device.startswith('cuda'):
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    ctypes.CDLL('libc.so.6').malloc_trim(0)
    before = _resident('VmRSS')
    Path('/proc/self/clear_refs').write_text('5')  # the peak starts anew from here
    function()
    return _resident('VmHWM') - before


def _resident(key: str) -> int:
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f'{key} is not in /proc/self/status: peak memory on the CPU is measured on Linux only.')


def measure(options: dict) -> int:
    """Bytes, by a process of its own; ``options`` as in :func:`parse_args`."""
    arguments = [f'--{key.replace("_", "-")}={value}' for key, value in options.items() if value is not None]
    # Every larger tensor gets pages of its own that go back when it is freed: resident size is then what is alive.
    environment = dict(os.environ, MALLOC_MMAP_THRESHOLD_='65536', MALLOC_ARENA_MAX='1')
    command = [sys.executable, str(Path(__file__).resolve()), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f'{" ".join(command)} failed:\n{done.stderr[-2000:]}')
    return int(done.stdout.splitlines()[-1])


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--config', default='PASCAL ViT-L', help='a name of setups.CONFIGS')
    parser.add_argument('--form', choices=('literal', 'ours', 'deploy'), default='ours')
    parser.add_argument('--part', choices=('decoder', 'model', 'decoder-inference'), default='decoder')
    parser.add_argument('--batch', type=int, default=1)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--precision', choices=('fp32', 'bf16'), default='fp32')
    parser.add_argument('--setup', type=json.loads, default={}, help='JSON with decoder, size, tasks of read_config')
    return parser.parse_args()


def main() -> None:
    from setups import (
        build_model,
        decoder_forms,
        decoder_step,
        forward_only,
        make_features,
        make_images,
        model_step,
        read_config,
    )

    args = parse_args()
    cfg = read_config(args.config, **args.setup)
    model = build_model(cfg, args.device)
    head = model.decode_head
    if args.form != 'ours':
        head = decoder_forms(head, [args.form])[args.form]
    how = (args.device, args.precision)
    if args.part == 'model':
        step = model_step(model, head, make_images(model, args.batch), *how, clear=False)
    else:
        feats = make_features(model, args.batch)
        del model.backbone
        if args.part == 'decoder':
            step = decoder_step(head, feats, *how, clear=False)
        else:
            step = forward_only(head, feats, *how)
    print(peak_bytes(step, args.device))


if __name__ == '__main__':
    main()
