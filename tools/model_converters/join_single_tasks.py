"""Join trained single-task models to the start of a Cross-stitch network or an NDDR-CNN.

Example:
    python tools/model_converters/join_single_tasks.py checkpoints/start.pth \\
        --from semseg=work_dirs/semseg/iter_9900.pth depth=work_dirs/depth/iter_9900.pth
"""

import argparse

from mlore_mm.apis.training.config import user_errors
from mlore_mm.converters.sharing import join_files


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('dst', help='checkpoint to write, for `load_from`')
    parser.add_argument(
        '--from', dest='models', nargs='+', required=True, metavar='TASK=FILE', help='a checkpoint of ours per task'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with user_errors():
        files = dict(_pair(entry) for entry in args.models)
        count = join_files(files, args.dst)
    print(f'Wrote {count} tensors of {", ".join(files)} to {args.dst}.')


def _pair(entry: str) -> tuple[str, str]:
    task, _, path = entry.partition('=')
    if not path:
        raise ValueError(
            f'Each model is given as TASK=FILE, such as depth=work_dirs/depth/iter_9900.pth; got {entry!r}.'
        )
    return task, path


if __name__ == '__main__':
    main()
