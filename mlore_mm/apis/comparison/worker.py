"""One run of a comparison in a process of its own: trains, evaluates, measures, and writes what came out.

``python -m mlore_mm.apis.comparison.worker FOLDER`` trains what ``FOLDER/config.py`` says, from its newest checkpoint
on, and writes ``result.json``, or ``failed.json`` with the reason. With ``--probe`` it does ten iterations and four
images and writes ``probe.json``.
"""

import argparse
import copy
import json
import shutil
import statistics
import sys
import time
import traceback
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope

from mlore_mm.apis.analysis.baselines import find_evaluation
from mlore_mm.apis.comparison.costs import model_costs
from mlore_mm.apis.comparison.plan import set_iterations
from mlore_mm.apis.inference.photo_pipeline import image_size
from mlore_mm.apis.training.config import load_config
from mlore_mm.apis.training.test import run_test
from mlore_mm.apis.training.train import train_model
from mlore_mm.engine.checkpoints.files import newest_whole_checkpoint
from mlore_mm.engine.hooks.run_clock_hook import read_clock
from mlore_mm.registry import DATASETS, RUNNERS
from mlore_mm.tasks import bind_tasks
from mlore_mm.tasks.bind import leaf_datasets
from mlore_mm.utils.threads import describe_threads
from mlore_mm.utils.unwrap import bare_model
from mlore_mm.utils.whole_files import write_whole
from mlore_mm.version import __version__

PROBE_ITERATIONS, PROBE_IMAGES = 10, 4


class ValidationClock(Hook):
    """Seconds of validation: ``gaps`` between batches, and ``rest``, from the last batch to the metrics."""

    def __init__(self) -> None:
        self.gaps, self.rest, self.last = [], 0.0, 0.0

    def before_val_epoch(self, runner) -> None:
        self.last = time.monotonic()

    def after_val_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        now = time.monotonic()
        self.gaps.append(now - self.last)
        self.last = now

    def after_val_epoch(self, runner, metrics=None) -> None:
        self.rest = time.monotonic() - self.last


def train_and_measure(folder: Path) -> dict:
    """What ``result.json`` holds."""
    cfg = _load(folder)
    iterations = cfg.train_cfg.max_iters
    clock = str(folder / 'clock.json')
    training = copy.deepcopy(cfg)
    training.custom_hooks = [*(training.get('custom_hooks') or []), dict(type='RunClockHook', file=clock)]
    model = train_model(training, resume='auto')
    scores = _scores(cfg, folder, iterations)
    times = read_clock(clock)
    return dict(
        status='done',
        iterations=iterations,
        tasks=scores['tasks'],
        images=scores['images'],
        costs=dict(
            model_costs(cfg, bare_model(model)),
            training_s=times.get('seconds'),
            peak_memory=times.get('memory'),
        ),
        image_size=list(image_size(cfg)),
        device='cuda' if torch.cuda.is_available() else 'cpu',
        threads=describe_threads(),
        mlore_mm=__version__,
        torch=torch.__version__,
    )


def _scores(cfg: Config, folder: Path, iterations: int) -> dict:
    """The evaluation after the last iteration; it is made where a kill in the last validation left none.

    Raises:
        ValueError: A headline is not a number.
    """
    scores = None
    if list(folder.rglob('evaluation.json')):
        scores = json.loads(find_evaluation(folder).read_text())
    if scores is None or scores['iteration'] not in (iterations, None):
        checkpoint, _ = newest_whole_checkpoint(str(folder))
        again = copy.deepcopy(cfg)
        again.experiment_name = f'evaluation_{time.time_ns()}'
        again.test_dataloader, again.test_evaluator = again.val_dataloader, again.val_evaluator
        run_test(again, str(checkpoint))
        scores = json.loads(find_evaluation(folder).read_text())
    keep = ('headline', 'value', 'unit', 'higher_is_better')
    tasks = {name: {key: row[key] for key in keep} for name, row in scores['tasks'].items()}
    broken = [name for name, row in tasks.items() if row['value'] is None]
    if broken:
        raise ValueError(f'The score of {", ".join(broken)} is not a number: not finite, or nothing was labelled.')
    return dict(tasks=tasks, images=scores['images'])


def probe(folder: Path) -> dict:
    """Seconds for an iteration and for an image of the validation, measured in a folder that is removed again."""
    start = time.monotonic()
    cfg = _load(folder)
    images = _validation_images(cfg)
    place = folder / 'probe'
    cfg.work_dir, cfg.experiment_name = str(place), f'probe_{time.time_ns()}'
    set_iterations(cfg, PROBE_ITERATIONS)
    cfg.default_hooks.checkpoint.update(interval=10 * PROBE_ITERATIONS, save_last=False)
    for dataset in leaf_datasets(cfg.val_dataloader):
        dataset['indices'] = PROBE_IMAGES
    clock = str(place / 'clock.json')
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), dict(type='RunClockHook', file=clock)]
    runner, validation = RUNNERS.build(cfg), ValidationClock()
    runner.register_hook(validation)
    runner.train()
    times, gaps, rest = read_clock(clock), validation.gaps, validation.rest
    shutil.rmtree(place, ignore_errors=True)
    measured = sum(times['recent']) + sum(gaps) + rest
    batch = max(cfg.val_dataloader.get('batch_size', 1), 1)
    return dict(
        iteration_s=statistics.median(times['recent'][1:]),
        image_s=statistics.median(gaps) / min(batch, PROBE_IMAGES) + rest / PROBE_IMAGES,
        images=images,
        start_s=time.monotonic() - start - measured,
    )


def _validation_images(cfg: Config) -> int:
    bound = bind_tasks(copy.deepcopy(cfg))
    init_default_scope(bound.get('default_scope', 'mlore_mm'))
    return len(DATASETS.build(bound.val_dataloader.dataset))


def _load(folder: Path) -> Config:
    return load_config(str(folder / 'config.py'), work_dir=str(folder))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--probe', action='store_true')
    args = parser.parse_args(argv)
    name = 'probe' if args.probe else 'result'
    try:
        content = probe(args.folder) if args.probe else train_and_measure(args.folder)
    except Exception as error:  # whatever is wrong with one run, the table has it as failed
        traceback.print_exc()
        message = f'{type(error).__name__}: {error}'.strip()
        write_whole(args.folder / 'failed.json', json.dumps(dict(status='failed', reason=message)))
        return 1
    write_whole(args.folder / f'{name}.json', json.dumps(content, indent=2) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
