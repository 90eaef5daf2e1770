"""What the demo page does with a visitor's photo, without the page: limits, prediction, files to download."""

import dataclasses
import io
import re
import secrets
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock

from PIL import Image

from mlore_mm.apis.inference.inferencer import MultiTaskInferencer
from mlore_mm.apis.inference.photos import PhotoError, read_photo
from mlore_mm.apis.inference.result_writer import ImageResult, ResultWriter

_MAX_ASPECT = 20
_KEPT = 16  # results that can be downloaded


class PhotoPage:
    """Runs models on photos of visitors, one at a time.

    Args:
        models: Title to inferencer.
        max_bytes: Largest file.
        max_pixels: Largest width * height.
    """

    def __init__(self, models: Mapping[str, MultiTaskInferencer], max_bytes: int, max_pixels: int) -> None:
        self.models, self.max_bytes, self.max_pixels = dict(models), max_bytes, max_pixels
        self._lock = Lock()
        self._archives: OrderedDict[str, bytes] = OrderedDict()

    def tasks(self, title: str) -> list[str]:
        """The tasks that a model predicts."""
        return list(self.models[title].model.eval_tasks)

    def predict(self, title: str, tasks: Sequence[str], path: str | Path) -> ImageResult:
        """All wanted maps of the photo in a file.

        Raises:
            PhotoError: What the visitor can put right; it names the file and no folder.
        """
        name = Path(path).name
        if title not in self.models or not set(tasks) <= set(self.tasks(title)):
            raise PhotoError('This model does not predict these tasks. Load the page anew.')
        if not tasks:
            raise PhotoError('Choose at least one task.')
        image = read_photo(self._checked(Path(path).read_bytes(), name), name)
        with self._lock:
            (result,) = self.models[title](image, tasks=tasks)
        stem = re.sub(r'[^\w-]+', '_', Path(name).stem)[:60].strip('_') or 'photo'
        return dataclasses.replace(result, name=stem, label=name)

    def _checked(self, data: bytes, name: str) -> bytes:
        """The same bytes, unless the header already says that decoding them would be too much."""
        if len(data) > self.max_bytes:
            raise PhotoError(
                f'{name} has {len(data) / 2**20:.3g} MB, and this page takes {self.max_bytes / 2**20:.3g} MB.'
            )
        try:
            with Image.open(io.BytesIO(data)) as image:
                width, height = image.size
        except Exception:  # read_photo says what is wrong with it
            return data
        if width * height > self.max_pixels:
            raise PhotoError(
                f'{name} has {width} x {height} pixels, {width * height / 1e6:.1f} million, and this page takes '
                f'{self.max_pixels / 1e6:g} million. Make it smaller first.'
            )
        if max(width, height) > _MAX_ASPECT * min(width, height):
            raise PhotoError(f'{name} has {width} x {height} pixels, which is too narrow for a photo.')
        return data

    # ---- downloads -----------------------------------------------------------------------------------------------
    def keep(self, title: str, result: ImageResult) -> str:
        """Make the result's files ready for :meth:`archive`; the key, which cannot be guessed."""
        key = secrets.token_urlsafe(16)
        with self._lock:
            self._archives[key] = zip_result(result, dict(model=title))
            while len(self._archives) > _KEPT:
                self._archives.popitem(last=False)
        return key

    def archive(self, key: str) -> bytes | None:
        """A ZIP file, None once later results have taken its place."""
        return self._archives.get(key)


def zip_result(result: ImageResult, about: dict) -> bytes:
    """Everything that :class:`ResultWriter` writes, as a ZIP file."""
    with tempfile.TemporaryDirectory() as folder:
        writer = ResultWriter(folder, about=dict(about, tasks=result.tasks.to_config()))
        writer.write(result)
        writer.close()
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(Path(folder).rglob('*')):
                if file.is_file():
                    archive.write(file, file.relative_to(folder))
        return buffer.getvalue()
