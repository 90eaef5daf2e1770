"""Where checkpoints on a disk are written to, as mmengine's file backends go."""

from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from mlore_mm.utils.whole_files import write_whole


class WholeFileBackend(LocalBackend):
    """mmengine's local files, of which none is ever seen half written."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        write_whole(filepath, obj)


class KeepingBackend:
    """A backend that only notes in ``removed`` what it was told to remove."""

    def __init__(self, backend) -> None:
        self.backend, self.removed = backend, []

    def __getattr__(self, name: str):
        return getattr(self.backend, name)

    def remove(self, path: str) -> None:
        self.removed.append(str(path))

    rmtree = remove


register_backend('whole_files', WholeFileBackend, force=True)
