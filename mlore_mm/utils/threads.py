"""OpenMP threads that share a machine with others. Nothing here imports torch when it is itself imported."""

import os


def wait_passively() -> None:
    """Let idle OpenMP threads sleep instead of spinning on cores that others want; a setting of the user's stays.

    OpenMP reads the variable once, when torch is imported, so this comes before. On two busy cores two spinning threads
    took 22 s for an iteration that took 2 s otherwise.
    """
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')


def describe_threads() -> str:
    """How many threads this process computes with, for a log: '2 threads on 8 cores'."""
    import torch

    affinity = getattr(os, 'sched_getaffinity', None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    threads = torch.get_num_threads()
    return f'{threads} thread{"s" * (threads != 1)} on {cores} core{"s" * (cores != 1)}'
