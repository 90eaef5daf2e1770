"""A folder of records on disk, one per sample and augmentation, that knows what made it."""

import json
import os
import shutil
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mlore_mm.utils.whole_files import write_whole

ABOUT, INDEX, RECORDS = 'store.json', 'index.bin', 'records.bin'
FORMAT = 1


class FeatureStoreError(ValueError):
    """A store of features that is not what was asked for: made otherwise, unfinished, or damaged."""


class FeatureStore:
    """Records by sample and augmentation: ``store.json`` (what made it), ``index.bin`` and ``records.bin``.

    Records are appended in any order; the index gets the place of one after its bytes have reached the disk, so that a
    store whose filling was interrupted is whole as far as it goes. Reading maps the file into memory.

    Args:
        folder: Of the store.

    Raises:
        FeatureStoreError: There is no store in the folder, or one of another format.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        try:
            about = json.loads((self.folder / ABOUT).read_text(encoding='utf-8'))
        except FileNotFoundError:
            raise FeatureStoreError(
                f'There is no store of features in {self.folder}. tools/misc/cache_features.py makes one.'
            ) from None
        except (OSError, ValueError) as error:
            raise FeatureStoreError(f'{self.folder / ABOUT} cannot be read ({error}). Fill the store anew.') from error
        _check_about(about, self.folder)
        self.recipe: dict[str, Any] = about['recipe']
        self.samples: list[str] = about['samples']
        self.augmentations: int = about['augmentations']
        self.rows = {name: row for row, name in enumerate(self.samples)}
        self._map: np.memmap | None = None
        self._checked: set[int] = set()
        self.load_index()

    @classmethod
    def create(cls, folder: str | Path, recipe: Mapping, samples: Sequence[str], augmentations: int) -> 'FeatureStore':
        """A new store, or the one that is there if the same made it; it may get more augmentations.

        Of fewer ones, those stay of which there are records. A store without any record is made anew.

        Raises:
            FeatureStoreError: Something else made the records that are there.
        """
        folder = Path(folder)
        samples, recipe = list(samples), as_json(recipe)
        if (folder / ABOUT).exists():
            old = cls(folder)
            problems = differences(old.recipe, recipe)
            if old.samples != samples:
                problems.append(f'samples: {len(old.samples)} in the store, {len(samples)} in the config, or others')
            if problems and old.end:
                raise FeatureStoreError(refusal(folder, problems))
            augmentations = max(augmentations, old.begun)
        about = dict(format=FORMAT, recipe=recipe, samples=samples, augmentations=augmentations)
        size = len(samples) * augmentations * 24
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / INDEX, 'ab') as index:
            index.truncate(max(index.tell(), size))
        with open(folder / RECORDS, 'ab'):
            pass
        write_whole(folder / ABOUT, json.dumps(about))
        return cls(folder)

    def load_index(self) -> None:
        """Read anew which records there are."""
        data = np.fromfile(self.folder / INDEX, dtype='<i8')
        shape = (self.augmentations, len(self.samples), 3)  # offset, length and check sum of each record
        if data.size < np.prod(shape):
            raise FeatureStoreError(f'{self.folder / INDEX} is shorter than it was made. Fill the store anew.')
        self.index = data[: np.prod(shape)].reshape(shape)

    @property
    def missing(self) -> list[tuple[int, int]]:
        """(augmentation, row) of every record that is not there yet."""
        return [(int(k), int(row)) for k, row in np.argwhere(self.index[..., 1] == 0)]

    @property
    def begun(self) -> int:
        """Augmentations up to the last one of which there is a record."""
        return int(np.flatnonzero(self.index[..., 1].any(axis=1)).max(initial=-1)) + 1

    @property
    def end(self) -> int:
        """Bytes of the records that are there; what an interrupted writing left lies behind."""
        return int((self.index[..., 0] + self.index[..., 1]).max(initial=0))

    def check_complete(self) -> None:
        """Raises:
        FeatureStoreError: Records are missing.
        """
        left, total = len(self.missing), self.augmentations * len(self.samples)
        if left:
            raise FeatureStoreError(
                f'The store {self.folder} is not full yet: {left} of {total} records are missing. The same command of '
                'tools/misc/cache_features.py goes on where it was interrupted.'
            )

    def append(self, records: Mapping[tuple[int, int], bytes]) -> None:
        """Add records by (augmentation, row): first the bytes, then their places.

        Raises:
            ValueError: The disk is full.
        """
        places, start = {}, self.end
        try:
            with open(self.folder / RECORDS, 'r+b') as file:
                file.seek(start)
                for key, record in records.items():
                    record += bytes(-len(record) % 64)
                    places[key] = (file.tell(), len(record), zlib.crc32(record))
                    file.write(record)
                file.flush()
                os.fsync(file.fileno())
            for key, place in places.items():
                self.index[key] = place
            self.index.tofile(self.folder / (INDEX + '.new'))
            os.replace(self.folder / (INDEX + '.new'), self.folder / INDEX)
        except OSError as error:
            free = shutil.disk_usage(self.folder).free / 1e9
            raise ValueError(
                f'Cannot write to the store {self.folder}: {error.strerror} ({free:.1f} GB are free there). Make room '
                'and give the same command again; what is there is kept.'
            ) from error

    def read(self, augmentation: int, row: int) -> np.ndarray:
        """The bytes of a record, mapped and not copied; compared with their check sum when first read.

        Raises:
            FeatureStoreError: It is not there, or damaged.
        """
        offset, length, checksum = (int(x) for x in self.index[augmentation, row])
        if not length:
            self.check_complete()
        if self._map is None:
            self._map = np.memmap(self.folder / RECORDS, dtype=np.uint8, mode='r')
        record = self._map[offset : offset + length]
        if offset not in self._checked:
            if len(record) != length or zlib.crc32(record) != checksum:
                raise FeatureStoreError(
                    f'Record {augmentation} of sample {self.samples[row]} in {self.folder / RECORDS} is damaged. '
                    'Delete the folder and fill it anew.'
                )
            self._checked.add(offset)
        return record

    def __getstate__(self) -> dict:  # on its way to a loader's worker: the map is opened there
        return {**self.__dict__, '_map': None}


def _check_about(about, folder: Path) -> None:
    """Raise a FeatureStoreError unless ``store.json`` holds what a store is described by."""
    found = about.get('format') if isinstance(about, dict) else None
    if found != FORMAT:
        raise FeatureStoreError(f'{folder} is a store of format {found}, this version reads {FORMAT}. Fill it anew.')
    samples, number = about.get('samples'), about.get('augmentations')
    whole = isinstance(about.get('recipe'), dict) and isinstance(samples, list) and type(number) is int and number > 0
    if not whole or not all(isinstance(name, str) for name in samples):
        raise FeatureStoreError(
            f'{folder / ABOUT} is damaged: expected a recipe, names of samples and a number of augmentations. Fill the '
            f'store anew.'
        )


def as_json(value):
    """Tuples as lists and everything unusual as text, so that what was written compares equal to what is read."""
    return json.loads(json.dumps(value, default=repr, sort_keys=True))


def differences(stored, wanted, place: str = '') -> list[str]:
    """Where two recipes differ, a line each."""
    if isinstance(stored, dict) and isinstance(wanted, dict):
        keys = sorted({*stored, *wanted})
        return [
            line
            for key in keys
            for line in differences(stored.get(key), wanted.get(key), f'{place}.{key}' if place else key)
        ]
    if isinstance(stored, list) and isinstance(wanted, list) and len(stored) == len(wanted):
        pairs = enumerate(zip(stored, wanted, strict=True))
        return [line for i, (a, b) in pairs for line in differences(a, b, f'{place}.{i}')]
    return [] if stored == wanted else [f'{place}: {_short(stored)} in the store, {_short(wanted)} in the config']


def refusal(folder: Path, problems: Sequence[str]) -> str:
    """What to say about a store that something else made."""
    lines = ''.join(f'\n- {problem}' for problem in problems[:12])
    return (
        f'The store of features {folder} was made by something else than this config:{lines}\n'
        'Give another folder (feature_cache.path, --out), or fill it anew.'
    )


def _short(value) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f'{text[:117]}...'
