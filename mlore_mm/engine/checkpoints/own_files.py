"""Which checkpoints a training may remove: those that it wrote itself, and nothing that a file says about paths."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

# What mmengine's CheckpointHook keeps in the message hub, and with it in every checkpoint. All of it names files.
_PATHS = ('superseded_ckpts', 'last_ckpt', 'best_ckpt')
_STEPS = 'keep_ckpt_ids'


class OwnFiles:
    """The checkpoints of one run: the names that its hook gives, in the folder that it writes to.

    Args:
        folder: Where the hook writes; a local folder, or an address such as ``s3://bucket/run``.
        template: Of file names, as in 'iter_{}.pth'.
    """

    def __init__(self, folder: str | Path, template: str) -> None:
        self.folder = str(folder)
        step = r'\d+'.join(re.escape(part) for part in template.split('{}'))
        self._name = re.compile(
            rf'(best_[^/\\]+_)?{step}|iter_\d+\.pth'
        )  # the latter on SIGTERM, whatever the template

    def __contains__(self, path) -> bool:
        """Whether ``path`` is named like a checkpoint of this run and lies in its folder itself.

        A link is followed for the folder and not for the name: removing the name is all that may happen to it.
        """
        if not isinstance(path, (str, Path)) or '\0' in str(path):
            return False
        head, name = os.path.split(str(path))
        return bool(self._name.fullmatch(name)) and _place(head) == _place(self.folder)

    def removable(self, path) -> bool:
        """Whether ``path``, which a file names, is a checkpoint file of this run, and not a folder or device."""
        if path not in self:
            return False
        return '://' in self.folder or (os.path.isfile(path) and not os.path.islink(path))

    def keep_own(self, info: dict, same_run: bool) -> list[str]:
        """Take out of ``info``, which was read from a checkpoint, what is not about files of this run, in place.

        Args:
            info: ``message_hub.runtime_info``.
            same_run: Whether the checkpoint itself lies in this run's folder. One from elsewhere, such as that of a
                training which is branched off, has no say about files here.

        Returns:
            The paths that were taken out.
        """
        dropped = []
        for key in [key for key in info if str(key).startswith(_PATHS)]:
            value = info[key]
            paths = list(value) if isinstance(value, (list, tuple)) else [value]
            kept = [path for path in paths if same_run and path in self]
            dropped += [str(path) for path in paths if path is not None and path not in kept]
            if key == 'superseded_ckpts':
                info[key] = kept
            elif not kept or isinstance(value, (list, tuple)):
                del info[key]
        steps = info.get(_STEPS, [])
        plain = isinstance(steps, (list, tuple)) and all(type(step) is int and step >= 0 for step in steps)
        if _STEPS in info and not (same_run and plain):
            del info[_STEPS]
        return dropped


def same_folder(path: str | Path | None, folder: str | Path) -> bool:
    """Whether a file lies in a folder itself."""
    return path is not None and _place(os.path.split(str(path))[0]) == _place(folder)


def describe(paths: Iterable[str], limit: int = 3) -> str:
    """The first names of a list, shortened, for a message."""
    paths = [path if len(path) <= 200 else f'{path[:200]}...' for path in paths]
    return ', '.join(paths[:limit]) + (f' and {len(paths) - limit} more' if len(paths) > limit else '')


def _place(folder: str | Path) -> str:
    return str(folder).rstrip('/') if '://' in str(folder) else os.path.realpath(folder or '.')
