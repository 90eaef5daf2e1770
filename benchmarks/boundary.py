"""Time the boundary score against the compiled matcher of the original protocol, in one run.

Examples:
    python benchmarks/boundary.py --images 3
    python benchmarks/boundary.py --pred-dir preds --gt-dir labels --dataset pascal_context --out boundary.json

The matcher is that of `pyedgeeval` (pip install cython numpy setuptools wheel, then
`pip install --no-build-isolation --no-deps pyedgeeval`; needs a C++ compiler). Without it, and with --ours-only, only
our times are measured. Both sides run on one core at all 101 thresholds and are timed in CPU seconds, which other
programs on the machine disturb little. Ours is everything from the files to the counts; theirs is the matcher alone,
fed with the thinned masks that our stages produce, so the ratio is smaller than between two complete evaluations.
Without folders, images are drawn: wobbly regions with noisy ridges along their boundaries.
"""

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from mlore_mm.apis.analysis.eval_boundary import PROTOCOLS
from mlore_mm.evaluation.functional.boundary import (
    FULL_THRESHOLDS,
    boundary_ground_truth,
    boundary_map,
    boundary_scores,
    count_image,
    edge_strength,
    read_labels,
    read_prediction,
    thin,
)

PASCAL_IMAGES = 5105
REPEATS = 3


def main() -> None:
    args = parse_args()
    protocol = PROTOCOLS[args.dataset]
    with tempfile.TemporaryDirectory() as scratch:
        if args.pred_dir is None:
            args.pred_dir, args.gt_dir = draw_images(Path(scratch), args.images or 4, args.dataset)
        names = sorted(path.stem for path in Path(args.pred_dir).glob('*.png'))
        names = [name for name in names if (Path(args.gt_dir) / f'{name}{protocol.suffix}').exists()][: args.images]
        if not names:
            raise SystemExit(f'No <name>.png in {args.pred_dir} with a <name>{protocol.suffix} in {args.gt_dir}.')
        pairs = [
            (Path(args.pred_dir) / f'{name}.png', Path(args.gt_dir) / f'{name}{protocol.suffix}') for name in names
        ]
        start = time.process_time()
        ours(*pairs[0], protocol.max_dist)
        first_call = time.process_time() - start  # compiles, or loads compiled code
        match = matcher(args.ours_only)
        rows = [measure(*files, protocol.max_dist, match) for files in pairs]
    result = summarize(rows, args.dataset, protocol.max_dist, first_call)
    print(json.dumps({key: value for key, value in result.items() if key != 'images'}, indent=2))
    if args.out:
        Path(args.out).write_text(json.dumps(result, indent=1) + '\n')
        print(f'Times of every image are in {args.out}')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--pred-dir', help='folder of 8-bit predictions; drawn by default')
    parser.add_argument('--gt-dir', help='folder of their ground truths')
    parser.add_argument('--dataset', choices=list(PROTOCOLS), default='pascal_context')
    parser.add_argument('--images', type=int, help='use the first images only')
    parser.add_argument('--ours-only', action='store_true', help='leave out the original matcher')
    parser.add_argument('--out', help='JSON file')
    args = parser.parse_args()
    if (args.pred_dir is None) != (args.gt_dir is None):
        parser.error('--pred-dir and --gt-dir go together')
    return args


def matcher(leave_out: bool):
    """``correspond_pixels`` of pyedgeeval, or None."""
    if leave_out:
        return None
    try:
        from pyEdgeEval._lib import correspond_pixels
    except ImportError:
        print('pyedgeeval is not installed: only our times are measured.')
        return None
    return correspond_pixels


def ours(prediction_path: Path, label_path: Path, max_dist: float) -> np.ndarray:
    return count_image(read_prediction(prediction_path), str(label_path), max_dist, FULL_THRESHOLDS)


def measure(prediction_path: Path, label_path: Path, max_dist: float, correspond_pixels) -> dict:
    """CPU seconds and counts of one image, the best of a few runs for ours and one run for the slow side."""
    seconds = []
    for _ in range(REPEATS):
        start = time.process_time()
        counts = ours(prediction_path, label_path, max_dist)
        seconds.append(time.process_time() - start)
    row = dict(name=prediction_path.stem, ours_s=min(seconds), ours_worst_s=max(seconds), counts=counts.tolist())
    if correspond_pixels is not None:
        row.update(original(prediction_path, label_path, max_dist, correspond_pixels))
        row['ratio'] = row['original_s'] / row['ours_s']
        print(
            f'{row["name"]}: {row["ours_s"]:.3f} s, original {row["original_s"]:.1f} s, {row["ratio"]:.0f} times',
            flush=True,
        )
    return row


def original(prediction_path: Path, label_path: Path, max_dist: float, correspond_pixels) -> dict:
    """CPU seconds of the original matcher at all thresholds, and the counts it gives."""
    strength = edge_strength(read_prediction(prediction_path)).astype(np.float64)
    truth = boundary_ground_truth(read_labels(label_path))
    counts, seconds = np.zeros((4, len(FULL_THRESHOLDS)), dtype=int), 0.0
    counts[1] = truth.sum()
    for index, threshold in enumerate(FULL_THRESHOLDS):
        lines = thin(strength > threshold)
        counts[3, index] = lines.sum()
        if lines.any() and truth.any():
            start = time.process_time()
            matched_lines, matched_truth, _, _ = correspond_pixels(lines, truth, max_dist=max_dist)
            seconds += time.process_time() - start
            counts[0, index], counts[2, index] = (matched_truth > 0).sum(), (matched_lines > 0).sum()
    return dict(original_s=seconds, original_counts=counts.tolist())


def summarize(rows: list[dict], dataset: str, max_dist: float, first_call: float) -> dict:
    times = np.array([row['ours_s'] for row in rows])
    result = dict(
        dataset=dataset,
        max_dist=max_dist,
        thresholds=len(FULL_THRESHOLDS),
        machine=f'{platform.machine()}, Python {platform.python_version()}, one core, CPU seconds',
        images_timed=len(rows),
        first_call_s=first_call,
        ours_median_s=float(np.median(times)),
        ours_mean_s=float(times.mean()),
        ours_slowest_s=max(row['ours_worst_s'] for row in rows),
        minutes_for_pascal={f'{cores} cores': PASCAL_IMAGES * float(times.mean()) / cores / 60 for cores in (2, 16)},
        odsF=100 * boundary_scores(np.array([row['counts'] for row in rows]), FULL_THRESHOLDS).ods_f,
    )
    if 'original_s' in rows[0]:
        theirs = np.array([row['original_counts'] for row in rows])
        ratios = [row['ratio'] for row in rows if row['original_s'] > 0]
        result.update(
            original_median_s=float(np.median([row['original_s'] for row in rows])),
            original_odsF=100 * boundary_scores(theirs, FULL_THRESHOLDS).ods_f,
            ratio_median=float(np.median(ratios)),
            ratio_smallest=min(ratios),
        )
    result['images'] = rows
    return result


def draw_images(root: Path, number: int, dataset: str) -> tuple[Path, Path]:
    """Draw label maps and predictions of 375 x 500 pixels into two folders."""
    from scipy.io import savemat

    for kind in ('pred', 'gt'):
        (root / kind).mkdir()
    rng = np.random.default_rng(0)
    for index in range(number):
        fields = np.stack([gaussian_filter(rng.standard_normal((375, 500)), 25) for _ in range(12)])
        labels = fields.argmax(axis=0) + 1
        boundary = boundary_map(labels)
        ridges = gaussian_filter(boundary.astype(float), 1.5)
        clutter = np.abs(gaussian_filter(rng.standard_normal((375, 500)), 2))
        strength = ridges / ridges.max() * rng.uniform(0.6, 1.4) + 0.4 * clutter / clutter.max()
        Image.fromarray(np.rint(255 * strength.clip(0, 1)).astype(np.uint8)).save(root / 'pred' / f'{index}.png')
        if PROTOCOLS[dataset].suffix == '.mat':
            savemat(root / 'gt' / f'{index}.mat', dict(LabelMap=labels.astype(np.uint16)), do_compression=True)
        else:
            Image.fromarray(255 * thin(boundary).astype(np.uint8)).save(root / 'gt' / f'{index}.png')
    return root / 'pred', root / 'gt'


if __name__ == '__main__':
    main()
