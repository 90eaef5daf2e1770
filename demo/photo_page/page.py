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
from photo_page.uploads import REFUSED, UploadFolder

_MAX_ASPECT = 20
_KEPT = 16  # results that can be downloaded
# What photos of visitors come in, by content. Pillow reads forty more, some through other programs.
FORMATS = ('JPEG', 'PNG', 'WEBP')


class PhotoPage:
    """Runs models on photos of visitors, one at a time.

    Args:
        models: Title to inferencer.
        max_bytes: Largest file.
        max_pixels: Largest width * height.
        uploads: The folder below which photos have to lie.
    """

    def __init__(
        self, models: Mapping[str, MultiTaskInferencer], max_bytes: int, max_pixels: int, uploads: UploadFolder
    ) -> None:
        self.models, self.max_bytes, self.max_pixels = dict(models), max_bytes, max_pixels
        self.uploads = uploads
        self._lock = Lock()
        self._archives: OrderedDict[str, bytes] = OrderedDict()

    def tasks(self, title: str) -> list[str]:
        """The tasks that a model predicts."""
        return list(self.models[title].model.eval_tasks)

    def predict(self, title: str, tasks: Sequence[str], path: str | Path) -> ImageResult:
        """All wanted maps of the photo in an uploaded file, of tasks that are named once.

        Raises:
            PhotoError: What the visitor can put right; it names the file and no folder.
        """
        known = self.tasks(title) if isinstance(title, str) and title in self.models else []
        if not isinstance(tasks, (list, tuple)) or sorted(tasks, key=str) != [x for x in sorted(known) if x in tasks]:
            raise PhotoError('This model does not predict these tasks. Load the page anew.')
        if not tasks:
            raise PhotoError('Choose at least one task.')
        if not isinstance(path, (str, Path)):
            raise PhotoError(REFUSED)
        data = self.uploads.read(path, self.max_bytes + 1)
        name = Path(path).name
        image = read_photo(self._checked(data, name), name, FORMATS)
        with self._lock:
            (result,) = self.models[title](image, tasks=tasks)
        stem = re.sub(r'[^\w-]+', '_', Path(name).stem)[:60].strip('_') or 'photo'
        return dataclasses.replace(result, name=stem, label=name)

    def _checked(self, data: bytes, name: str) -> bytes:
        """The same bytes, unless the header already says that decoding them would be too much."""
        if len(data) > self.max_bytes:
            raise PhotoError(f'{name} is too large: this page takes files of up to {self.max_bytes / 2**20:.3g} MB.')
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
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
