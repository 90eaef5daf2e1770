"""Print the whole of a config, with all that it inherits; on request write it for tools of other packages.

Example:
    python tools/misc/print_config.py configs/mlore/mlore_tiny_synthrooms_nyud.py --bound work_dirs/bound.py

mmsegmentation's own tools/test.py does not bind tasks: it runs the file of --bound, where every place has them.
"""

import argparse
import sys
from pathlib import Path

from mlore_mm.apis import load_config
from mlore_mm.apis.training.config import user_errors
from mlore_mm.apis.training.overrides import OverrideAction
from mlore_mm.engine.task_runner import complete_save_best
from mlore_mm.tasks import bind_tasks
from mlore_mm.utils.config_text import OrderedConfig
from mlore_mm.utils.whole_files import write_whole


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('--cfg-options', nargs='+', action=OverrideAction, metavar='KEY=VALUE', help='as of train.py')
    parser.add_argument(
        '--bound', metavar='OUT', help='write a .py file with the final values of tasks and variables in every place'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with user_errors():
        cfg = OrderedConfig.from_config(load_config(args.config, cfg_options=args.cfg_options))
        if args.bound is None:
            print(cfg.pretty_text)
            return
        if Path(args.bound).suffix != '.py':
            raise ValueError(f'--bound writes a Python file, name it so: {args.bound}.py')
        if Path(args.bound).resolve() == Path(args.config).resolve():
            raise ValueError(f'--bound would write over the config it reads, {args.config}. Choose another name.')
        complete_save_best(bind_tasks(cfg))
        write_whole(args.bound, cfg.pretty_text)
    print(f'The config with its values bound is in {args.bound}')


if __name__ == '__main__':
    sys.exit(main())
