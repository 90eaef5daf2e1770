"""Score predicted boundaries (odsF, oisF, AP) of any method against the real ground truth, without MATLAB.

Examples:
    python tools/analysis_tools/eval_boundary.py work_dirs/predictions/edge data/NYUDv2/edge --dataset nyud
    python tools/analysis_tools/eval_boundary.py my_edges data/PASCALContext/pascal-context/trainval \
        --dataset pascal_context --out my_edges.json --workers 16

PRED_DIR holds <name>.png, 8-bit grey, round(255 * probability); `tools/test.py --out` writes such files. The protocol
is that of SEISM with the 101 thresholds, except that the matching is exact: on equal predictions odsF is 0.05 to 0.1
point above the original, whose randomised matching misses a few pairs.
"""

import argparse
import sys
from pathlib import Path

from mlore_mm.apis.analysis.eval_boundary import PROTOCOLS, BoundaryResult, eval_boundary
from mlore_mm.apis.training.config import user_errors
from mlore_mm.utils.progress import ProgressLine
from mlore_mm.visualization.boundary_plot import plot_precision_recall


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('pred_dir', metavar='PRED_DIR', help='folder of predictions, <name>.png')
    parser.add_argument('gt_dir', metavar='GT_DIR', help='folder of <name>.mat (pascal_context) or <name>.png (nyud)')
    parser.add_argument('--dataset', required=True, choices=list(PROTOCOLS), help='kind of ground truth and max_dist')
    parser.add_argument('--list', metavar='FILE', help='text file of the names to score (default: all ground truths)')
    parser.add_argument('--max-dist', type=float, help="fraction of the image diagonal, instead of the data set's own")
    parser.add_argument('--resize', action='store_true', help='resize predictions that have another size')
    parser.add_argument('--allow-missing', action='store_true', help='score although predictions are missing')
    parser.add_argument('--skip-broken', action='store_true', help='leave out images whose files cannot be read')
    parser.add_argument('--workers', type=int, default=2, help='threads; 0 for none beside this one')
    parser.add_argument(
        '--out',
        default='boundary_result.json',
        help='JSON with scores and the counts of each image; the plot goes beside it (default: %(default)s)',
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    out = Path(args.out)
    with user_errors():
        result = eval_boundary(
            args.pred_dir,
            args.gt_dir,
            args.dataset,
            names=Path(args.list).read_text().split() if args.list else None,
            max_dist=args.max_dist,
            workers=args.workers,
            resize=args.resize,
            allow_missing=args.allow_missing,
            skip_broken=args.skip_broken,
            on_progress=ProgressLine('boundaries'),
        )
        result.save(out)
        plot = out.with_suffix('.png')
        _plot(plot, result)
    scores = result.scores
    print(f'\n{len(result.names)} images, max_dist {result.max_dist}, 101 thresholds, exact matching')
    print(f'odsF {100 * scores.ods_f:.2f} at threshold {scores.ods_threshold:g}', end=' ')
    print(f'(precision {100 * scores.ods_precision:.2f}, recall {100 * scores.ods_recall:.2f})')
    print(f'oisF {100 * scores.ois_f:.2f}\nAP   {100 * scores.ap:.2f}')
    print(f'Scores and counts are in {out}, the precision-recall plot in {plot}')


def _plot(path: Path, result: BoundaryResult) -> None:
    scores = result.scores
    label = f'odsF {100 * scores.ods_f:.1f}, AP {100 * scores.ap:.1f}'
    plot_precision_recall(path, scores.recall, scores.precision, (scores.ods_recall, scores.ods_precision), label)


if __name__ == '__main__':
    sys.exit(main())
