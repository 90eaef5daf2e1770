"""Which pixels thinning deletes: the rule that the two computations of it share.

Labels are thinned with filters over the whole image (:mod:`mlore_mm.datasets.line_thinning`), which suits the loader;
the boundary metric follows the pixels that change (:mod:`mlore_mm.evaluation.functional.boundary.thinning`), which
suits its many thresholds. Source: the two-subiteration algorithm of Guo and Hall (Communications of the ACM, 1989),
as MATLAB's ``bwmorph(mask, 'thin', inf)`` and scikit-image's ``thin`` compute it.
"""

import numpy as np


def _deletable() -> np.ndarray:
    """(2, 256) uint8: whether sub-pass 0 or 1 deletes a pixel with these neighbours.

    Bit i of the neighbour code is the neighbour in direction i: 0 is right, then counter-clockwise, 7 is down-right.
    """
    table = np.zeros((2, 256), dtype=np.uint8)
    for code in range(256):
        n = [bool(code >> direction & 1) for direction in range(8)]
        # One triple per side neighbour: itself, the corner after it, the next side neighbour.
        triples = [(n[i], n[i + 1], n[(i + 2) % 8]) for i in (0, 2, 4, 6)]
        crossings = sum(not side and (corner or following) for side, corner, following in triples)
        first = sum(side or corner for side, corner, _ in triples)
        second = sum(corner or following for _, corner, following in triples)
        if crossings == 1 and min(first, second) in (2, 3):
            table[0, code] = not ((n[1] or n[2] or not n[7]) and n[0])
            table[1, code] = not ((n[5] or n[6] or not n[3]) and n[4])
    return table


DELETABLE = _deletable()
