"""Scoring a folder of predicted boundaries, of any method."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.logging import print_log
from PIL import Image

from mlore_mm.evaluation.counting_pool import CountingPool
from mlore_mm.evaluation.functional.boundary import (
    FULL_THRESHOLDS,
    BoundaryScores,
    boundary_scores,
    read_labels,
    read_prediction,
)
from mlore_mm.utils.whole_files import write_whole

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
        write_whole(path, json.dumps(content) + '\n', lasting=False)


def eval_boundary(
    pred_dir: str | Path,
    gt_dir: str | Path,
    dataset: str,
    *,
    names: list[str] | None = None,
    max_dist: float | None = None,
    workers: int = 2,
    resize: bool = False,
    allow_missing: bool = False,
    skip_broken: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> BoundaryResult:
    """Score the 8-bit grey PNGs of a folder by the SEISM protocol at its 101 thresholds, with an exact matching.

    Args:
        pred_dir: ``<name>.png``, round(255 * probability).
        gt_dir: ``<name>.mat`` with a ``LabelMap`` (pascal_context) or ``<name>.png`` of 0 and 255 (nyud).
        dataset: Key of ``PROTOCOLS``.
        names: The images to score, such as those of a split; by default all ground truths, which need a prediction
            each.
        max_dist: Instead of the data set's own.
        workers: Threads; 0 counts in this one.
        resize: Resize a prediction that has not the size of its ground truth, bilinearly, instead of refusing it.
        allow_missing: Score the predictions that are there.
        skip_broken: Leave out images whose files cannot be read, and print their names.
        on_progress: Called with the number of finished and of all images.

    Raises:
        ValueError: Missing files, an unknown data set, or sizes that differ.
    """
    if dataset not in PROTOCOLS:
        raise ValueError(f"Boundary protocol of data set '{dataset}' unknown; choose one of {list(PROTOCOLS)}.")
    protocol = PROTOCOLS[dataset]
    max_dist = protocol.max_dist if max_dist is None else max_dist
    names, scored = _find(Path(pred_dir), Path(gt_dir), protocol.suffix, names, allow_missing), []
    pool = CountingPool(max_dist, FULL_THRESHOLDS, workers)
    try:
        for name in names:
            label_path, path = Path(gt_dir) / f'{name}{protocol.suffix}', Path(pred_dir) / f'{name}.png'
            try:
                prediction = _checked(read_prediction(path), path)
                labels = read_labels(label_path) if resize or skip_broken else str(label_path)
            except ValueError as error:
                if not skip_broken:
                    raise ValueError(f'{error} --skip-broken leaves such images out.') from error
                print_log(f'Left out: {error}', 'current', logging.WARNING)
                continue
            pool.submit(name, _resized(prediction, labels.shape) if resize else prediction, labels)
            scored.append(name)
            if on_progress is not None:
                on_progress(pool.finished, len(names))
        if not scored:
            raise ValueError(f'None of the {len(names)} images can be read.')
        counts = np.stack(pool.drain(on_progress))
    finally:
        pool.close()
    return BoundaryResult(max_dist, scored, counts, boundary_scores(counts, FULL_THRESHOLDS))


def _find(pred_dir: Path, gt_dir: Path, suffix: str, names: list[str] | None, allow_missing: bool) -> list[str]:
    """Names of the images to score, in order, with both files present."""
    for folder, what in ((pred_dir, 'predictions'), (gt_dir, 'ground truths')):
        if not folder.is_dir():
            raise ValueError(f'No folder {folder}, expected the {what} there.')
    predicted, true = _names(pred_dir, '.png'), _names(gt_dir, suffix)
    unpredicted = sorted(set(true if names is None else names) - predicted)
    if predicted and unpredicted and (names is None or allow_missing):
        wanted, more = len(true if names is None else names), ', ...' * (len(unpredicted) > NAMES_IN_MESSAGE)
        found = ', '.join(unpredicted[:NAMES_IN_MESSAGE])
        message = f'{len(unpredicted)} of {wanted} images have no prediction in {pred_dir}: {found}{more}.'
        if not allow_missing and predicted & true:
            raise ValueError(
                f'{message} --list FILE names the images of a split; --allow-missing scores those that are there.'
            )
        if allow_missing:
            print_log(f'{message} They are not scored.', 'current', logging.WARNING)
    names = sorted(predicted if names is None else set(names) & predicted if allow_missing else names)
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


def _names(folder: Path, suffix: str) -> set[str]:
    """Paths of the files below the folder, without their suffix."""
    return {path.relative_to(folder).with_suffix('').as_posix() for path in folder.rglob(f'*{suffix}')}


def _checked(prediction: np.ndarray, path: Path) -> np.ndarray:
    if prediction.size and prediction.max() == 1:
        raise ValueError(f'{path} holds 0 and 1 only, and 255 stands for a certain boundary: save 255 * probability.')
    return prediction


def _resized(prediction: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    if prediction.shape == (height, width):
        return prediction
    return np.array(Image.fromarray(prediction).resize((width, height), Image.Resampling.BILINEAR))
