"""A real training of a few seconds, in processes of its own that can be killed: loader workers, augmentation, routing
noise, batch norm, Adam, validation, best checkpoints.
"""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mlore_mm.registry import MODELS
from mlore_mm.routing import TopKGate
from tests.shared import REPO
from tests.test_datasets.archives import write_archive
from tests.toy_parts import ToyEncoder, ToyRoutedEncoder

CONFIG = """
_base_ = ['{repo}/configs/_base_/schedules/adam_40k.py', '{repo}/configs/_base_/default_runtime.py']
custom_imports = dict(imports=['mlore_mm', 'tests.training'], allow_failed_imports=False)
tasks = dict(
    semseg=dict(type='SemSeg', out_channels=5), depth=dict(type='Depth'), normals=dict(type='SurfaceNormals'))
model = dict(
    type='MultiTaskEncoderDecoder', backbone=dict(type='NoisyEncoder'),
    decode_head=dict(type='ToyAuxiliaryHead', guessed='depth'),
    criterion=dict(type='MultiTaskCriterion', auxiliary_weights=dict(initial=0.5)))
labels = dict(
    semseg=dict(type='IdMapReader', dir='labels'), depth=dict(type='NpyReader', dir='depth'),
    normals=dict(type='VectorReader', dir='normals'))
train_pipeline = [
    dict(type='LoadMultiTaskImage'), dict(type='LoadMultiTaskLabels'),
    dict(type='MultiTaskRandomScale', ratio_range=(0.75, 1.5)),
    dict(type='MultiTaskRandomCrop', crop_size=(32, 32), cat_max_ratio=0.75), dict(type='MultiTaskRandomFlip'),
    dict(type='PhotoMetricDistortion'), dict(type='CentrePad', size=(32, 32)), dict(type='MarkIgnore'),
    dict(type='PackMultiTaskInputs')]
test_pipeline = [
    dict(type='LoadMultiTaskImage'), dict(type='CentrePad', size=(32, 32)), dict(type='LoadMultiTaskLabels'),
    dict(type='MarkIgnore'), dict(type='PackMultiTaskInputs')]
dataset = dict(type='MultiTaskDataset', data_root='{data}', labels=labels, img_suffix='.png', serialize_data=False)
train_dataloader = dict(
    batch_size=2, num_workers={workers}, persistent_workers=True, sampler=dict(type='ResumableSampler'),
    dataset=dict(dataset, pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(dataset, pipeline=test_pipeline, test_mode=True))
test_dataloader = val_dataloader
val_evaluator = dict(type='MultiTaskEvaluator', metrics=[])
test_evaluator = val_evaluator
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0, begin=0, end={iters} + 1, by_epoch=False)]
train_cfg = dict(max_iters={iters}, val_interval=4)
default_hooks = dict(checkpoint=dict(interval=2, max_keep_ckpts=1), logger=dict(interval=1))
visualizer = dict(vis_backends=[])
"""
ITERS = 10


@MODELS.register_module()
class NoisyEncoder(ToyRoutedEncoder):
    """A router whose choice is random in training."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = TopKGate(2, noise=1.0)


@MODELS.register_module()
class FixedEncoder(ToyEncoder):
    """The same weights in every process, as if they came from a file; ``shift`` makes others."""

    def __init__(self, shift: float = 0.0) -> None:
        super().__init__()
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(5)
            self.conv.weight.normal_(std=0.3).add_(shift)
            self.conv.bias.zero_()


def write_config(folder: Path, iters: int = ITERS, workers: int = 1) -> Path:
    """A config without a seed of its own, as users' are, and its data."""
    write_archive(folder / 'data', ids=[f'{i}' for i in range(5)], size=(32, 32))
    path = folder / 'training.py'
    path.write_text(CONFIG.format(repo=REPO.as_posix(), data=folder / 'data', iters=iters, workers=workers))
    return path


class Kill(Hook):
    """Ends its process by a signal at the ``number``-th occurrence of a moment.

    Args:
        moment: 'before_train_iter', 'after_val_iter', 'after_train_iter', or 'write': while a file is being written,
            when its bytes are on the disk, but it has not got its name yet.
    """

    priority = 'HIGH'

    def __init__(self, moment: str, number: int, by: signal.Signals = signal.SIGKILL) -> None:
        self.left, self.by = number, by
        if moment == 'write':
            fsync = os.fsync
            os.fsync = lambda handle: (self.count(), fsync(handle))
        else:
            setattr(self, moment, lambda *args, **kwargs: self.count())

    def count(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self.by)


def train(config: str, work_dir: str, kill: tuple | None = None, resume: bool = True, **options) -> int:
    """Train in a new process, from the newest checkpoint of ``work_dir`` on; its exit code."""
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['mlore_mm.apis', 'mlore_mm.models', 'mlore_mm.evaluation', 'tests.training'])
    process = context.Process(target=_train, args=(str(config), str(work_dir), kill, resume, options))
    process.start()
    process.join(60)
    hangs = process.exitcode is None
    process.kill()
    assert not hangs, 'training hangs'
    if kill and process.exitcode == 255:
        # The fork server has ended and took the exit code with it (killing it by hand does this). Its child lives on.
        _wait_for_end(process.pid)
        return -signal.SIGKILL
    return process.exitcode


def _wait_for_end(pid: int) -> None:
    for _ in range(600):
        if not Path(f'/proc/{pid}').exists():
            return
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    raise AssertionError('training hangs')


def _train(config: str, work_dir: str, kill: tuple | Hook | None, resume: bool, options: dict) -> None:
    from mlore_mm.registry import RUNNERS

    torch.set_num_threads(1)
    os.environ['OMP_NUM_THREADS'] = '1'
    cfg = Config.fromfile(config)
    cfg.work_dir, cfg.resume = work_dir, resume
    cfg.merge_from_dict(options)
    Runner._log_env = lambda *args: None  # asks compilers for their versions, which takes seconds
    runner = RUNNERS.build(cfg)
    if kill:
        runner.register_hook(kill if isinstance(kill, Hook) else Kill(*kill))
    runner.train()
