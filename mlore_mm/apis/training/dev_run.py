"""A training in short, from the first step to the test, to see whether a config works before it trains for days."""

import copy
import shutil
import time
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import barrier, is_main_process

from mlore_mm.apis.training.test import run_test
from mlore_mm.apis.training.train import train_model
from mlore_mm.tasks.bind import leaf_datasets

FOLDER = 'fast_dev_run'  # below the work folder


def fast_dev_run(
    cfg: Config,
    *,
    amp: bool = False,
    auto_scale_lr: bool = False,
    validate: bool = True,
    tasks: list[str] | None = None,
    compile: bool | dict = False,
) -> dict[str, float]:
    """Two steps of the optimizer with a checkpoint after each and a validation; the second again, resumed; a test.

    Validation and test see two images of each data set. All is written to ``<work_dir>/fast_dev_run``, which is removed
    when everything went well, and nothing is sent to servers such as Weights & Biases. Training by epochs has two
    epochs of one step.

    Args:
        cfg: A config as :func:`load_config` returns it; it is not changed.
        amp: As of :func:`train_model`, and so are ``auto_scale_lr``, ``validate``, ``tasks`` and ``compile``.

    Returns:
        The metrics of the test, which say nothing about the model; empty for a config without a test set.

    Raises:
        ValueError: A mistake in the config, or predictions of the test that are not finite.
    """
    folder = Path(cfg.work_dir) / FOLDER
    short, first, last = shorten(cfg)
    options = dict(amp=amp, auto_scale_lr=auto_scale_lr, validate=validate, tasks=tasks, compile=compile)
    train_model(_part(short, folder, 'train'), **options)
    checkpoint = str(folder / 'train' / first)
    train_model(_part(short, folder, 'resume'), resume=checkpoint, **options)
    metrics = {}
    if short.get('test_dataloader'):
        test = _part(short, folder, 'test')
        if tasks:  # the checkpoint knows these only
            test.task_names = list(tasks)
        metrics, not_finite = run_test(test, str(folder / 'resume' / last))
        if not_finite:
            raise ValueError(f'After two steps predictions are not finite: {", ".join(not_finite)}. See {folder}.')
    barrier()
    if is_main_process():
        shutil.rmtree(folder, ignore_errors=True)
    return metrics


def shorten(cfg: Config) -> tuple[Config, str, str]:
    """The config of two steps, and the names of the checkpoints after the first and the second."""
    short = copy.deepcopy(cfg)
    steps = (short.get('optim_wrapper') or {}).get('accumulative_counts', 1)  # iterations for a step of the optimizer
    by_epoch = 'Epoch' in str(short.train_cfg.get('type')) or bool(short.train_cfg.get('by_epoch'))
    unit, length = ('epoch', 1) if by_epoch else ('iter', steps)
    short.train_cfg.update({f'max_{unit}s': 2 * length, 'val_interval': 2 * length, 'val_begin': 1})
    if f'max_{unit}s' in short:  # what '$max_iters' stands for in the schedule
        short[f'max_{unit}s'] = 2 * length
    hooks = short.setdefault('default_hooks', {})
    checkpoint = hooks.setdefault('checkpoint', dict(type='SafeCheckpointHook'))
    for key in ('out_dir', 'filename_tmpl', 'save_begin'):
        checkpoint.pop(key, None)
    checkpoint.update(interval=length, by_epoch=by_epoch, max_keep_ckpts=-1)
    if hooks.get('logger'):
        hooks['logger'].update(interval=1)
    for split, count in dict(train=short.train_dataloader.batch_size * steps, val=2, test=2).items():
        if by_epoch or split != 'train':
            for dataset in leaf_datasets(short.get(f'{split}_dataloader')):
                dataset['indices'] = count
    if short.get('visualizer'):
        short.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    _keep_to_the_folder(short)
    short.load_from, short.resume = cfg.get('load_from'), False
    return short, f'{unit}_{length}.pth', f'{unit}_{2 * length}.pth'


def _keep_to_the_folder(short: Config) -> None:
    """Files that evaluators and hooks are to write elsewhere would replace those of real runs."""
    for split in ('val', 'test'):
        if isinstance(short.get(f'{split}_evaluator'), dict):
            short[f'{split}_evaluator'].pop('out_file', None)
    short.custom_hooks = [hook for hook in short.get('custom_hooks') or [] if not _is_clock(hook)]
    for hook in [*short.custom_hooks, *short.default_hooks.values()]:
        if isinstance(hook, dict):
            hook.pop('out_dir', None)


def _is_clock(hook) -> bool:
    return isinstance(hook, dict) and str(hook.get('type')).endswith('RunClockHook')


def _part(cfg: Config, folder: Path, name: str) -> Config:
    """A copy for one of the runs, with a name of its own: mmengine names runs by the second."""
    part = copy.deepcopy(cfg)
    part.work_dir = str(folder / name)
    part.experiment_name = f'{FOLDER}_{name}_{time.time_ns()}'
    return part
