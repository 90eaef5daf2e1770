"""Which checkpoint of a work folder to go on from: the newest that is whole."""

import re
import zipfile
from pathlib import Path

_STEP = re.compile(r'(?:iter|epoch)_(\d+)\.pth$')
_FOLDER = 0x10  # among the attributes of DOS
LAST = 'last_checkpoint'  # the file in which mmengine keeps the path of the newest checkpoint


def find_damage(path: str | Path) -> str | None:
    """What is wrong with a checkpoint file, in words; None if every byte is as PyTorch wrote it.

    PyTorch's own reader does not compare checksums: it takes a file with a flipped bit and trains on with a wrong
    weight. The archives that it writes do hold checksums, and all of them are compared here (about 1 s per GB).
    """
    path = Path(path)
    if not path.is_file():
        return 'there is no such file'
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            packed = [entry.filename for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
            if packed:
                return f"'{packed[0]}' in it is compressed, which PyTorch does not do"
            folders = [entry.filename for entry in entries if entry.is_dir() or entry.external_attr & _FOLDER]
            if folders:  # PyTorch would read none of its bytes, and take whatever lies in the memory
                return f"'{folders[0]}' in it is marked as a folder"
            bad = archive.testzip()
    except Exception as error:  # zipfile has no error of its own for names that are no text, and others
        return f'{size} bytes that are cut short or no checkpoint ({error})'
    return None if bad is None else f"the checksum of '{bad}' in it does not fit"


def has_checkpoint(work_dir: str | Path) -> bool:
    """Whether training in this folder has saved anything to go on from, whole or not."""
    return (Path(work_dir) / LAST).is_file() or bool(steps_in(Path(work_dir)))


def newest_whole_checkpoint(work_dir: str | Path) -> tuple[str | None, list[str]]:
    """The checkpoint to go on from, and a message for every newer one that is damaged.

    First the one that ``last_checkpoint`` names, then those of fewer steps in the same folder, the latest first. One
    with more steps is none of this training: a killed run leaves its last step at most, and repeats it.

    Returns:
        Path and messages; None without messages where nothing was ever saved.

    Raises:
        ValueError: There are checkpoints and none is whole. Starting anew without a word would lose the training.
    """
    problems = []
    for path in _candidates(Path(work_dir)):
        damage = find_damage(path)
        if damage is None:
            return str(path), problems
        problems.append(f'The checkpoint {path} cannot be used: {damage}.')
    if problems:
        raise ValueError(
            f'No checkpoint of {work_dir} is whole. {" ".join(problems)} Bring a copy back, or start anew in another '
            f'folder (--work-dir) or without --resume.'
        )
    return None, []


def _candidates(work_dir: Path) -> list[Path]:
    last = work_dir / LAST
    named = Path(last.read_text(errors='replace').strip()) if last.is_file() else None
    if named is None or not named.name:
        return steps_in(work_dir)
    beside = work_dir / named.name  # where the folder was moved
    named = beside if not named.is_file() and beside.is_file() else named
    step = _step(named)
    older = [path for path in steps_in(named.parent) if step is None or _step(path) < step]
    return [named, *older]


def steps_in(folder: str | Path) -> list[Path]:
    """Checkpoints in a folder that are named by their step, the latest first."""
    found = [path for path in Path(folder).glob('*.pth') if path.is_file() and _STEP.fullmatch(path.name)]
    return sorted(found, key=_step, reverse=True)


def _step(path: Path) -> int | None:
    match = _STEP.fullmatch(path.name)
    return int(match.group(1)) if match else None
