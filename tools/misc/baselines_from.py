r"""Print what single-task runs scored as lines for a config, so that evaluations report the multi-task gain delta_m.

Example:
    for task in semseg depth normals edge; do
        python tools/train.py configs/baselines/hard-sharing_tiny_synthrooms_nyud.py \
            --tasks $task --work-dir work_dirs/single-task_tiny_synthrooms_nyud_$task
    done
    python tools/misc/baselines_from.py work_dirs/single-task_tiny_synthrooms_nyud_*

Paste the lines into the config of the multi-task model, or append them with >>. A folder stands for the newest
evaluation.json below it.
"""

import argparse
import sys

from mlore_mm.apis.analysis.baselines import as_config, read_baselines
from mlore_mm.apis.training.config import user_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('paths', nargs='+', help='evaluation.json files, or work folders of runs')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with user_errors():
        print(as_config(read_baselines(args.paths)))


if __name__ == '__main__':
    sys.exit(main())
