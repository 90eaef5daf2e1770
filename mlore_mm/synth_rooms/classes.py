"""What each kind of thing is called in the two label sets, and the parts of a person."""

from __future__ import annotations

from dataclasses import dataclass

from mlore_mm.datasets.pascal_classes import HUMAN_PARTS


@dataclass(frozen=True)
class Kind:
    """Label numbers of one kind of thing.

    Args:
        nyud: 1-40 as in the NYUD-v2 segmentation files, where 0 is unlabelled.
        voc: 0-20 as in PASCAL VOC, where 0 is background.
        context: 1-459 as in the PASCAL-Context ``LabelMap``.
    """

    nyud: int
    voc: int
    context: int


KINDS = {
    'wall': Kind(1, 0, 440),
    'floor': Kind(2, 0, 158),
    'ceiling': Kind(22, 0, 68),
    'window': Kind(9, 0, 454),
    'door': Kind(8, 0, 115),
    'picture': Kind(11, 0, 287),
    'cabinet': Kind(3, 0, 46),
    'bookshelf': Kind(10, 0, 349),
    'bed': Kind(4, 0, 18),
    'lamp': Kind(35, 0, 232),
    'bin': Kind(40, 0, 43),
    'chair': Kind(5, 9, 72),
    'table': Kind(7, 11, 397),
    'sofa': Kind(6, 18, 368),
    'tv': Kind(25, 20, 427),
    'plant': Kind(40, 16, 308),
    'bottle': Kind(40, 5, 34),
    'person': Kind(31, 15, 284),
}

# The order is that of the part numbers in a rendered view, which start at 1.
PART_NAMES = tuple(HUMAN_PARTS)
