"""Labels in PNG files that hold a class id or a yes or no per pixel."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from mlore_mm.datasets.label_readers.base import LabelReader, expect_map
from mlore_mm.datasets.label_readers.no_label import say_once, without_label
from mlore_mm.datasets.line_thinning import thin
from mlore_mm.registry import LABEL_READERS
from mlore_mm.utils.png_files import read_png

IGNORE = 255
_COLOUR_HINT = 'Labels have to be class ids, not colours; palette files are fine, their indices are the ids.'


@LABEL_READERS.register_module()
class IdMapReader(LabelReader):
    """Class ids, 0 to 254 after mapping, 255 ignored; uint8.

    Args:
        offset: Added to every id; -1 where the file counts from 1.
        ignore: Values of the file that mark pixels without a label, before ``offset``; 255 by default. 255 is always
            one of them, unless ``id_map`` names it.
        id_map: Value in the file to id, for files that are numbered otherwise. Values it does not name are errors
            unless they are in ``ignore``. Replaces ``offset``.
    """

    def __init__(
        self,
        *args,
        offset: int = 0,
        ignore: Sequence[int] | None = None,
        id_map: Mapping[int, int] | None = None,
        **kwargs,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._named, self.offset = ignore is not None or id_map is not None, offset if id_map is None else None
        if ignore is None:
            ignore = () if id_map is not None and IGNORE in id_map else (IGNORE,)
        values = np.arange(2**16) if id_map is None else np.array(list(id_map), dtype=np.int64)
        ids = values + offset if id_map is None else np.array(list(id_map.values()), dtype=np.int64)
        known = (ids >= 0) & (ids < IGNORE)
        ignore = (*ignore, *(() if id_map is not None and IGNORE in values else (IGNORE,)))
        self.no_label = ignore[0] if ignore else IGNORE
        self.table, self.unknown = np.zeros(2**16, dtype=np.uint8), np.ones(2**16, dtype=np.uint8)
        self.table[values[known]] = ids[known]
        self.table[list(ignore)] = IGNORE
        self.unknown[[*values[known], *ignore]] = 0

    def read(self, path: str) -> np.ndarray:
        values = read_ids(path)
        unknown = _look_up(values, self.unknown)
        if unknown.any():
            found = np.unique(values[unknown > 0])[:8].tolist()
            raise ValueError(
                f'{path} holds the values {found}, which stand for no class here. Check `offset`, `ignore` and '
                f'`id_map` of its reader, or the file.'
            )
        ids = _look_up(values, self.table)
        if not self._named:
            self._warn_of_mask(values, ids, path)
        return ids

    def code(self, value) -> str:
        """The number in the file; ids that ``id_map`` made are named by its keys."""
        return str(int(value) - self.offset if self.offset is not None else f'the key of {int(value)} in id_map')

    def _warn_of_mask(self, values: np.ndarray, ids: np.ndarray, path: str) -> None:
        """0 and 255 and nothing else is how a yes or no is written, and here 255 would be no label."""
        if values.size and values.max() == IGNORE and not values.min() and not ((ids > 0) & (ids < IGNORE)).any():
            say_once(
                f'{self}: 0/255',
                f'{path} holds 0 and 255 only, and 255 is read as no label. If it is a mask of two classes, set '
                f'id_map={{0: 0, 255: 1}} of its IdMapReader, or use MaskReader; if not, ignore=(255,) keeps quiet.',
            )

    def encode(self, ids: np.ndarray) -> np.ndarray:
        """The inverse of :meth:`read`: (H, W) of the file's codes, to be saved as a PNG; 8 bits where they suffice.

        Of several codes for one id the smallest is written, and the code of no label for an id without one.
        """
        known = np.flatnonzero(self.unknown == 0)[::-1]
        back = np.full(256, self.no_label, dtype=np.uint16)
        back[self.table[known]] = known
        back[IGNORE] = self.no_label  # several values may stand for it: the first that was named
        return (back if back.max() > 255 else back.astype(np.uint8))[ids]


def _look_up(values: np.ndarray, table: np.ndarray) -> np.ndarray:
    """OpenCV's table is five times as fast, and made for bytes only."""
    return cv2.LUT(values, table[:256]) if values.dtype == np.uint8 else table.take(values)


@LABEL_READERS.register_module()
class MaskReader(LabelReader):
    """Yes or no: 1 where the grey value over 255 exceeds ``threshold``, else 0; uint8, masked where ``ignore`` says so.

    Args:
        threshold: 0.5 for masks of 0 and 255; 0 for masks of 0 and 1.
        ignore: Grey values of pixels without a label.
        soft: The files hold probabilities, so that one may hold next to nothing. Without it a file of 0 and 1 only is
            an error, because with that threshold nothing in it is ever 1.

    Raises:
        ValueError: When reading such a file, or one with a palette or more than 8 bits.
    """

    def __init__(self, *args, threshold: float = 0.5, ignore: Sequence[int] = (), soft: bool = False, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.threshold, self.ignore, self.soft = threshold, tuple(ignore), soft

    def read(self, path: str) -> np.ndarray:
        values = expect_map(read_png(path, palette=False), path, _COLOUR_HINT)
        if values.dtype != np.uint8:
            raise ValueError(f'{path} is {values.dtype}, expected an 8-bit greyscale PNG.')
        above = np.floor(self.threshold * 255)
        if not self.soft and above >= 1 and values.size and values.max() == 1:
            raise ValueError(
                f'{path} holds 0 and 1 only, so with threshold={self.threshold} of 255 all of it would be 0. Set '
                f'threshold=0 of its MaskReader if 1 stands for yes, or soft=True if it is a faint probability.'
            )
        mask = (values > above).view(np.uint8)  # v / 255 > t for whole numbers v, without leaving uint8
        return without_label(mask, np.isin(values, self.ignore)) if self.ignore else mask

    @staticmethod
    def encode(mask: np.ndarray) -> np.ndarray:
        """The inverse of :meth:`read`: (H, W) uint8 of 0 and 255, to be saved as a PNG."""
        return mask * np.uint8(255)


@LABEL_READERS.register_module()
class LabelBoundaryReader(LabelReader):
    """Boundaries of a class map: 1 where one of the 4 neighbours has another class; uint8.

    Pixels without a label get 255, and a change to such a pixel is no boundary.

    Both sides of a change are marked, so lines are two pixels wide.

    Args:
        ignore: Values of the file that mark pixels without a label, beside 255.
        thin_lines: Thin the lines to one pixel, as the boundary score wants them.
    """

    def __init__(self, *args, ignore: Sequence[int] = (IGNORE,), thin_lines: bool = False, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.ignore, self.thin_lines = (*ignore, IGNORE), thin_lines

    def read(self, path: str) -> np.ndarray:
        edge = label_boundaries(read_ids(path), self.ignore)
        return np.where(edge == IGNORE, IGNORE, thin(edge == 1)).astype(np.uint8) if self.thin_lines else edge


def label_boundaries(ids: np.ndarray, ignore: Sequence[int] = (IGNORE,)) -> np.ndarray:
    """(H, W) ids to uint8: 1 at a change between 4-neighbours with a label, 0 elsewhere, 255 without a label."""
    labelled = ~np.isin(ids, ignore)
    edge = np.zeros(ids.shape, dtype=np.uint8)
    for here, there in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        change = (ids[here] != ids[there]) & labelled[here] & labelled[there]
        edge[here] |= change
        edge[there] |= change
    edge[~labelled] = IGNORE
    return edge


def read_ids(path: str) -> np.ndarray:
    """A PNG of whole numbers as (H, W) uint8 or uint16."""
    return expect_map(read_png(path), path, _COLOUR_HINT)
