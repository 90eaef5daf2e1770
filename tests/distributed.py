"""Runs a function in several processes that form a real gloo group."""

import multiprocessing
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist


def run_in_processes(function: Callable, folder: Path, *args, world_size: int = 2) -> list:
    """What ``function(*args)`` returns in each process, by rank.

    Args:
        function: A function of a module, since it is sent by name.
        folder: An empty folder: the meeting point of the processes, and their working folder.
    """
    context = multiprocessing.get_context('forkserver')  # imports once for all calls and all processes
    context.set_forkserver_preload(['mlore_mm.evaluation', 'mlore_mm.models'])
    processes = [
        context.Process(target=_run, args=(rank, world_size, str(folder), function, args)) for rank in range(world_size)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=300)  # of a hang; a crowded machine is slow
    failed = [process.exitcode for process in processes if process.exitcode != 0]
    for process in processes:
        if process.is_alive():
            process.kill()
    assert not failed, f'processes ended with {failed}'
    return [pickle.loads((Path(folder) / f'result_{rank}.pkl').read_bytes()) for rank in range(world_size)]


def _run(rank: int, world_size: int, folder: str, function: Callable, args: tuple) -> None:
    torch.set_num_threads(1)
    os.chdir(folder)
    os.environ['GLOO_SOCKET_IFNAME'] = 'lo'
    dist.init_process_group('gloo', init_method=f'file://{folder}/meeting', rank=rank, world_size=world_size)
    # Through a file: a pipe holds 64 KiB, and a process with more to say would wait for a parent that waits for it.
    Path(folder, f'result_{rank}.pkl').write_bytes(pickle.dumps(function(*args)))
    # Not dist.destroy_process_group(): with PyTorch 2.6 it was seen to wait for ever, once in about twenty times on a
    # crowded machine. What the others still need of this process, it has sent.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
