"""The folder of what visitors uploaded: the only files of the machine that the page opens."""

import os
import shutil
import stat
import time
from pathlib import Path

from mlore_mm.apis.inference.photos import PhotoError

# One answer for whatever is not an upload, so that nobody learns which files there are.
REFUSED = 'This is not a photo that was uploaded to this page. Choose the photo again.'
_OPEN = os.O_RDONLY | getattr(os, 'O_NOFOLLOW', 0) | getattr(os, 'O_NONBLOCK', 0) | getattr(os, 'O_CLOEXEC', 0)


class UploadFolder:
    """Files as ``<root>/<one folder each>/<name>``, of a limited number and age.

    Args:
        root: The folder; it belongs to one page and is made here.
        keep_files: The oldest go when there are more.
        keep_seconds: Older ones go.
    """

    def __init__(self, root: str | Path, keep_files: int = 64, keep_seconds: float = 3600) -> None:
        self.root = Path(root).resolve()
        self.root.mkdir(parents=True, exist_ok=True)
        self.keep_files, self.keep_seconds = keep_files, keep_seconds
        self.refused = self.root / 'refused'  # what a request is made to name in place of a file that it may not have

    def check(self, path: str | Path | None) -> Path:
        """The path, of a regular file below the folder, without links on the way; nothing is opened.

        Raises:
            PhotoError: Anything else, in the same words whatever it is.
        """
        try:
            path, given = Path(path), os.fspath(path)
            inside = path.relative_to(self.root) if path.is_absolute() else None
            if inside is None or len(inside.parts) != 2 or str(path) != given or path.resolve(strict=True) != path:
                raise PhotoError(REFUSED)
            found = path.lstat()
        except (OSError, ValueError, TypeError, RuntimeError) as error:  # RuntimeError: links in a circle
            raise PhotoError(REFUSED) from error
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise PhotoError(REFUSED)
        return path

    def read(self, path: str | Path, limit: int) -> bytes:
        """The first ``limit`` bytes of an upload.

        Raises:
            PhotoError: As :meth:`check`, of the file that was opened.
        """
        path = self.check(path)
        try:
            descriptor = os.open(path, _OPEN)
        except OSError as error:
            raise PhotoError(REFUSED) from error
        with open(descriptor, 'rb') as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise PhotoError(REFUSED)
            return file.read(limit)

    def remove(self, path: str | Path) -> None:
        """Remove an upload with its folder; what is none is left alone."""
        try:
            shutil.rmtree(self.check(path).parent, ignore_errors=True)
        except PhotoError:
            return

    def tidy(self) -> None:
        """Remove what is too old or too much."""
        found = []
        for entry in os.scandir(self.root):
            try:
                found.append((entry.stat(follow_symlinks=False).st_mtime, entry))
            except FileNotFoundError:  # another request was faster
                continue
        found.sort(key=lambda pair: pair[0], reverse=True)
        for number, (changed, entry) in enumerate(found):
            if number >= self.keep_files or time.time() - changed > self.keep_seconds:
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    Path(entry.path).unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.root, ignore_errors=True)
