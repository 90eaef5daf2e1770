"""Checkpoints that a run with experts on several GPUs left as a directory, one file per GPU."""

from pathlib import Path

import torch

from mlore_mm.engine.checkpoints import read_plain


def read_rank_files(folder: str | Path) -> dict:
    """``0.pth`` with the tensors of which every ``R.pth`` has a share joined along the first axis, in rank order.

    Raises:
        ValueError: A file is missing, or holds something that the first one does not.
    """
    folder = Path(folder)
    found = sorted(int(path.stem) for path in folder.glob('*.pth') if path.stem.isdecimal())
    if found != list(range(len(found))) or not found:
        raise ValueError(
            f'{folder} holds the rank files {[f"{rank}.pth" for rank in found]}: a run on N GPUs leaves 0.pth to '
            'N-1.pth, and all of them are needed.'
        )
    whole, *others = [read_plain(str(folder / f'{rank}.pth')) for rank in found]
    state = dict(whole['state_dict'])
    for rank, other in enumerate(others, start=1):
        names = set(others[0]['state_dict'])
        if set(other['state_dict']) != names or names - set(state):
            raise ValueError(f'{folder / f"{rank}.pth"} holds other tensors than the other files of its run.')
    for key in others[0]['state_dict'] if others else ():
        state[key] = torch.cat([state[key], *(other['state_dict'][key] for other in others)])
    return {**whole, 'state_dict': state}
