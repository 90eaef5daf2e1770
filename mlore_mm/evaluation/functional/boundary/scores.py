"""odsF, oisF and AP from the counts of many images.

Source: the SEISM protocol with its special cases (no true or no predicted pixel), see :func:`precision_recall`.
"""

from dataclasses import dataclass

import numpy as np

AP_GRID = np.arange(101) / 100


@dataclass(frozen=True)
class BoundaryScores:
    """Scores in 0..1, with the precision-recall curve of all images together; arrays are (T,), one per threshold.

    ``ods_f`` is the best F of one threshold for all images, reached at ``ods_threshold``; ``ois_f`` lets every image
    choose its own; ``ap`` is the area under the curve.
    """

    ods_f: float
    ods_threshold: float
    ods_precision: float
    ods_recall: float
    ois_f: float
    ois_precision: float
    ois_recall: float
    ap: float
    thresholds: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f: np.ndarray


def boundary_scores(counts: np.ndarray, thresholds: np.ndarray) -> BoundaryScores:
    """Scores of a data set.

    Args:
        counts: (N, 4, T), what ``boundary_counts`` returns for every image; all zero for an image without labels.
        thresholds: (T,), ascending.
    """
    counts, thresholds = np.asarray(counts), np.asarray(thresholds, dtype=np.float64)
    if counts.ndim != 3 or counts.shape[1:] != (4, thresholds.size) or counts.size == 0:
        raise ValueError(
            f'Boundary counts must be (images, 4, {thresholds.size}) with at least one image and one threshold, '
            f'but got {counts.shape}.'
        )
    counts = counts.astype(np.int64)
    precision, recall = precision_recall(counts.sum(axis=0))
    f = f_measure(precision, recall)
    best = int(f.argmax())
    ois_precision, ois_recall = precision_recall(_best_per_image(counts).sum(axis=0))
    return BoundaryScores(
        ods_f=float(f[best]),
        ods_threshold=float(thresholds[best]),
        ods_precision=float(precision[best]),
        ods_recall=float(recall[best]),
        ois_f=float(f_measure(ois_precision, ois_recall)),
        ois_precision=float(ois_precision),
        ois_recall=float(ois_recall),
        ap=average_precision(precision, recall),
        thresholds=thresholds,
        precision=precision,
        recall=recall,
        f=f,
    )


def precision_recall(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall of counts (..., 4, T) or (4,), each (..., T) or a number.

    Nothing predicted: precision 1, recall 0. Otherwise, no true boundary: precision 0, recall 1.
    """
    counts = np.asarray(counts, dtype=np.float64)
    axis = 0 if counts.ndim == 1 else -2
    matched_true, true, matched_predicted, predicted = np.moveaxis(counts, axis, 0)
    precision = matched_predicted / np.maximum(predicted, 1)
    recall = matched_true / np.maximum(true, 1)
    precision = np.where(predicted == 0, 1.0, precision)
    recall = np.where(predicted == 0, 0.0, np.where(true == 0, 1.0, recall))
    return precision, recall


def f_measure(precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    """Harmonic mean, 0 where both are 0."""
    total = precision + recall
    return 2 * precision * recall / np.where(total == 0, 1, total)


def average_precision(precision: np.ndarray, recall: np.ndarray) -> float:
    """Area under the curve on a grid of 101 recalls; recalls that the curve does not reach add nothing.

    Of thresholds with the same recall, the lowest gives the precision. A curve with a single recall has no area.

    Args:
        precision, recall: (T,), thresholds ascending.
    """
    recalls, first = np.unique(recall, return_index=True)
    if recalls.size < 2:
        return 0.0
    values = np.interp(AP_GRID, recalls, precision[first], left=0, right=0)
    return float(values.sum() / 100)


def _best_per_image(counts: np.ndarray) -> np.ndarray:
    """(N, 4, T) to (N, 4): the counts at each image's best threshold, the lowest of equals to 6 decimals.

    An image without true boundary scores 0 everywhere, so its lowest threshold counts, with all its false alarms.
    """
    f = np.round(f_measure(*precision_recall(counts)), 6)
    return np.take_along_axis(counts, f.argmax(axis=1)[:, None, None], axis=2)[..., 0]
