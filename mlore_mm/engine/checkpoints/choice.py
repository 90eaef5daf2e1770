"""Which file a training goes on from."""

import logging
from pathlib import Path

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log

from mlore_mm.engine.checkpoints.files import find_damage, newest_whole_checkpoint
from mlore_mm.engine.checkpoints.safetensors_files import SUFFIX


def choose_checkpoint(work_dir: str, given: str | None) -> str | None:
    """The file to go on from: ``given``, which has to be whole, or the newest whole one of the folder.

    Damaged ones are named in the log. The main process looks, so that all of a distributed run take the same.

    Raises:
        ValueError: ``given`` is damaged, or the folder has checkpoints and none is whole.
    """
    answer = [None, None]
    if is_main_process():
        try:
            answer[0] = _choose(work_dir, given)
        except ValueError as error:
            answer[1] = str(error)
    broadcast_object_list(answer)
    path, error = answer
    if error:
        raise ValueError(error)
    return path


def _choose(work_dir: str, given: str | None) -> str | None:
    if given is None:
        path, problems = newest_whole_checkpoint(work_dir)
        for problem in problems:
            print_log(f'{problem} Going on from {path} instead.', 'current', logging.WARNING)
        return path
    damage = find_damage(given) if '://' not in given and Path(given).suffix != SUFFIX else None
    if damage:
        raise ValueError(
            f'The checkpoint {given} cannot be used: {damage}. Give another one, or --resume alone, which takes the '
            f'newest whole one of the work folder ({Path(work_dir).resolve()}).'
        )
    return given
