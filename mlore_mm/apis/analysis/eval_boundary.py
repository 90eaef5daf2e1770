"""Scoring a folder of predicted boundaries, of any method."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mlore_mm.evaluation.counting_pool import CountingPool
from mlore_mm.evaluation.functional.boundary import (
    FULL_THRESHOLDS,
    BoundaryScores,
    boundary_scores,
    read_labels,
    read_prediction,
)

COUNTS = ('cntR', 'sumR', 'cntP', 'sumP')
NAMES_IN_MESSAGE = 5


@dataclass(frozen=True)
class BoundaryProtocol:
    """What differs between data sets: ``max_dist`` is a fraction of the image diagonal."""

    max_dist: float
    suffix: str


PROTOCOLS = dict(
    pascal_context=BoundaryProtocol(max_dist=0.0075, suffix='.mat'),
    nyud=BoundaryProtocol(max_dist=0.011, suffix='.png'),
)


@dataclass(frozen=True)
class BoundaryResult:
    """Scores of a folder, and the counts of every image, (N, 4, T) in the order of ``names``."""

    max_dist: float
    names: list[str]
    counts: np.ndarray
    scores: BoundaryScores

    def headline(self) -> dict[str, float]:
        """The numbers that ``BoundaryMetric`` reports, in 0..100."""
        return dict(odsF=100 * self.scores.ods_f, oisF=100 * self.scores.ois_f, AP=100 * self.scores.ap)

    def save(self, path: str | Path) -> None:
        """Write scores, curve and the counts of each image as JSON."""
        scores = self.scores
        content = dict(
            **self.headline(),
            images_scored=len(self.names),
            max_dist=self.max_dist,
            matching='maximum cardinality',
            ods=dict(threshold=scores.ods_threshold, precision=scores.ods_precision, recall=scores.ods_recall),
            ois=dict(precision=scores.ois_precision, recall=scores.ois_recall),
            thresholds=scores.thresholds.tolist(),
            precision=scores.precision.tolist(),
            recall=scores.recall.tolist(),
            F=scores.f.tolist(),
            images={
                name: dict(zip(COUNTS, counts.tolist(), strict=True))
                for name, counts in zip(self.names, self.counts, strict=True)
            },
        )
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content) + '\n')


def eval_boundary(
    pred_dir: str | Path,
    gt_dir: str | Path,
    dataset: str,
    *,
    names: list[str] | None = None,
    max_dist: float | None = None,
    workers: int = 2,
    resize: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> BoundaryResult:
    """Score the 8-bit grey PNGs of a folder by the SEISM protocol at its 101 thresholds, with an exact matching.

    Args:
        pred_dir: ``<name>.png``, round(255 * probability).
        gt_dir: ``<name>.mat`` with a ``LabelMap`` (pascal_context) or ``<name>.png`` of 0 and 255 (nyud). There may be
            more of them than predictions.
        dataset: Key of ``PROTOCOLS``.
        names: The images to score, such as those of a split; all predictions by default.
        max_dist: Instead of the data set's own.
        workers: Processes; 0 counts in this one.
        resize: Resize a prediction that has not the size of its ground truth, bilinearly, instead of refusing it.
        on_progress: Called with the number of finished and of all images.

    Raises:
        ValueError: Missing files, an unknown data set, or sizes that differ.
    """
    if dataset not in PROTOCOLS:
        raise ValueError(f"Boundary protocol of data set '{dataset}' unknown; choose one of {list(PROTOCOLS)}.")
    protocol = PROTOCOLS[dataset]
    max_dist = protocol.max_dist if max_dist is None else max_dist
    names = _find(Path(pred_dir), Path(gt_dir), protocol.suffix, names)
    pool = CountingPool(max_dist, FULL_THRESHOLDS, workers)
    try:
        for name in names:
            label_path = Path(gt_dir) / f'{name}{protocol.suffix}'
            prediction = read_prediction(Path(pred_dir) / f'{name}.png')
            pool.submit(name, _resized(prediction, label_path) if resize else prediction, str(label_path))
            if on_progress is not None:
                on_progress(pool.finished, len(names))
        counts = np.stack(pool.drain(on_progress))
    finally:
        pool.close()
    return BoundaryResult(max_dist, names, counts, boundary_scores(counts, FULL_THRESHOLDS))


def _find(pred_dir: Path, gt_dir: Path, suffix: str, names: list[str] | None) -> list[str]:
    """Names of the images to score, in order, with both files present."""
    for folder, what in ((pred_dir, 'predictions'), (gt_dir, 'ground truths')):
        if not folder.is_dir():
            raise ValueError(f'No folder {folder}, expected the {what} there.')
    predicted = {path.stem for path in pred_dir.glob('*.png')}
    true = {path.stem for path in gt_dir.glob(f'*{suffix}')}
    names = sorted(predicted if names is None else names)
    if not names:
        raise ValueError(f'No prediction <name>.png in {pred_dir}. Give the folder that holds the PNGs themselves.')
    for found, folder, ending in ((predicted, pred_dir, '.png'), (true, gt_dir, suffix)):
        missing = [name for name in names if name not in found]
        if missing:
            raise ValueError(
                f'{len(missing)} of {len(names)} images have no {ending} file in {folder}: '
                f'{", ".join(missing[:NAMES_IN_MESSAGE])}{", ..." if len(missing) > NAMES_IN_MESSAGE else ""}. '
                f'Predictions and ground truths must share their names; there are {len(found)} {ending} files.'
            )
    return names


def _resized(prediction: np.ndarray, label_path: Path) -> np.ndarray:
    height, width = read_labels(label_path).shape
    if prediction.shape == (height, width):
        return prediction
    return np.array(Image.fromarray(prediction).resize((width, height), Image.Resampling.BILINEAR))
