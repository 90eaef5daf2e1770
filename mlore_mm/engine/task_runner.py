"""What every runner of multi-task models does, on top of whichever of mmengine's runners."""

import copy
import logging
from functools import partial
from importlib.util import find_spec

from mmengine.config import ConfigDict
from mmengine.dist import is_main_process
from mmengine.hooks import EMAHook
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.runner import BaseLoop, Runner
from torch import nn
from torch.utils.data import DataLoader

from mlore_mm.datasets import MultiTaskDataset, SeededDataset
from mlore_mm.engine.checkpoints import TRAINING_ONLY, check_averages, check_meta, choose_checkpoint, naming_checkpoint
from mlore_mm.engine.checkpoints.files import steps_in
from mlore_mm.engine.checkpoints.resume_settings import (
    KINDS,
    batch_difference,
    batch_of,
    kinds_of,
    optimizer_kind,
    settle_settings,
    warn_of,
)
from mlore_mm.engine.checkpoints.weights import check_precision
from mlore_mm.engine.config_check import check_config, check_names, idle_settings
from mlore_mm.engine.feature_cache import bind_feature_cache
from mlore_mm.engine.folder_lock import FolderLock
from mlore_mm.engine.hooks.broadcast_buffers_hook import BroadcastBuffersHook
from mlore_mm.engine.hooks.feature_cache_hook import FeatureCacheHook
from mlore_mm.engine.hooks.preemption_hook import PreemptionHook
from mlore_mm.engine.hooks.seed_hook import SeedHook
from mlore_mm.engine.hooks.task_order_hook import TaskOrderHook
from mlore_mm.engine.loader_workers import start_worker
from mlore_mm.engine.log_file import PatientFileHandler, ShortConsole
from mlore_mm.models.compiling import compile_network
from mlore_mm.models.multi_task_encoder_decoder import MultiTaskEncoderDecoder
from mlore_mm.registry import DATASETS
from mlore_mm.tasks import TaskSet, bind_tasks
from mlore_mm.utils.config_text import OrderedConfig
from mlore_mm.utils.thread_errors import shorten_disk_errors
from mlore_mm.utils.unwrap import bare_model
from mlore_mm.utils.whole_files import check_writable


class TaskRunnerMixin:
    """Mixin for mmengine's runners (first among the bases): ``from_cfg`` passes the task definitions to all components.

    mmengine's and mmsegmentation's own scripts build the runner that the config names as ``runner_type``, so every one
    of them comes through here. Beyond ``bind_tasks`` it

    - checks every key of the config against what takes it, before anything is built (:func:`check_config`);
    - completes ``save_best`` of the checkpoint hook: 'auto' is the headline of the first task, and whether more is
      better follows from the task;
    - writes the config with its keys in their order (:class:`OrderedConfig`);
    - stores the ordered task names in checkpoints and compares them on loading (:class:`TaskOrderHook`);
    - resumes from the newest whole checkpoint, and goes by nothing in it that has an unexpected form;
    - puts stored features in the place of a frozen encoder (:func:`bind_feature_cache`);
    - makes the random numbers of every iteration follow from the seed (:class:`SeedHook`);
    - ends the loader's workers.
    """

    _whole_model = False  # whether weights that a checkpoint lacks are an error
    resumed_from: str | None = None  # the file that the training goes on from
    _reading: str | None = None

    @classmethod
    def from_cfg(cls, cfg):
        check_writable(cfg.work_dir)
        cfg = OrderedConfig.from_config(copy.deepcopy(cfg))
        check_names(cfg)
        bind_tasks(cfg)
        check_config(cfg)
        complete_save_best(cfg)
        bind_feature_cache(cfg)
        return super().from_cfg(cfg)

    @property
    def task_names(self) -> list[str]:
        """Names of the model's tasks, in the model's order; empty where the runner was built without a config."""
        return list(_innermost_model(self.cfg).get('tasks') or {})

    @property
    def optional_weights(self) -> tuple[str, ...] | None:
        """Beginnings of names that a checkpoint may lack; None where every weight may be missing."""
        if self._resume:
            return ()
        return TRAINING_ONLY if self._whole_model else None

    def load_or_resume(self) -> None:
        if self._resume and not self._has_loaded:
            self._load_from = choose_checkpoint(self.work_dir, self._load_from)
        super().load_or_resume()

    def resume(self, filename: str, *args, **options) -> None:
        self.resumed_from = self._reading = str(filename)
        with naming_checkpoint(filename):
            super().resume(filename, *args, **options)

    def call_hook(self, fn_name: str, **kwargs) -> None:
        if fn_name == 'after_load_checkpoint':
            source, self._reading = self._reading, None
            name = source or str(self._load_from or 'The checkpoint')
            check_meta(kwargs['checkpoint'], name, source is not None)
            check_averages(kwargs['checkpoint'], name)
            if source is not None:
                self._check_what_goes_on(kwargs['checkpoint'], name)
                self._settle_settings(kwargs['checkpoint'], name)
                meta = kwargs['checkpoint']['meta']
                told = batch_difference(meta.get('batch'), batch_of(self), meta['iter'])
                if told:
                    self.logger.warning(told)
        if fn_name == 'before_val':
            for hook in self.hooks:
                if isinstance(hook, PreemptionHook):
                    hook.before_validation(self)
        if fn_name == 'before_save_checkpoint':
            meta = kwargs['checkpoint'].setdefault('meta', {})
            meta['batch'], meta[KINDS] = batch_of(self), kinds_of(getattr(self, 'strategy', self))
        super().call_hook(fn_name, **kwargs)

    def _check_what_goes_on(self, checkpoint: dict, source: str) -> None:
        """A training goes on from the weights that it trained, in their precision, and has something left to do."""
        if 'ema_state_dict' in checkpoint and not any(isinstance(hook, EMAHook) for hook in self.hooks):
            raise ValueError(
                f'{source} was trained with EMAHook: its weights are averages, and the trained ones are beside them. '
                'Keep EMAHook in custom_hooks; or start anew from the averages: load_from, without --resume.'
            )
        check_precision(dict(bare_model(self.model).named_parameters()), checkpoint['state_dict'], source)
        done, loop = checkpoint['meta']['iter'], self._train_loop
        if isinstance(loop, BaseLoop) and done >= loop.max_iters:
            self.logger.warning(
                f'{source} is of iteration {done}, and this training has {loop.max_iters}: nothing is left to train.'
            )

    def _settle_settings(self, checkpoint: dict, source: str) -> None:
        """Say where the config and the checkpoint give another rate or schedule, and take those of one of them."""
        owner = getattr(self, 'strategy', self)  # a FlexibleRunner leaves them to its strategy
        wrapper, schedulers = getattr(owner, 'optim_wrapper', None), getattr(owner, 'param_schedulers', None)
        if isinstance(wrapper, OptimWrapper) and isinstance(schedulers or [], list):
            choice = self.cfg.get('resume_settings', 'checkpoint')
            built = [x for x in schedulers or [] if hasattr(x, 'param_name')]
            told = settle_settings(checkpoint, wrapper.param_groups, built, choice, optimizer_kind(wrapper))
            warn_of(told, choice, source)

    # ---- the three runs ----------------------------------------------------------------------------------------
    def train(self) -> nn.Module:
        with FolderLock(self.work_dir):
            if is_main_process() and not self._resume and not self._has_loaded:
                self._warn_of_older_training()
                for told in idle_settings(self.cfg):
                    self.logger.warning(told)
            try:
                return super().train()
            finally:
                _end_workers(self._train_loop, self._val_loop)

    def val(self) -> dict:
        self._whole_model = True
        return super().val()

    def test(self) -> dict:
        self._whole_model = True
        return super().test()

    def _warn_of_older_training(self) -> None:
        older = steps_in(self.work_dir)
        if older:
            self.logger.warning(
                f'{self.work_dir} holds checkpoints of an earlier training, such as {older[0].name}. This one starts '
                f'anew and writes over those of the same names; --resume goes on, --work-dir gives another folder.'
            )

    def _maybe_compile(self, target: str) -> None:
        """By ``compile`` of the config: the network, as one graph; models of others as mmengine does."""
        if isinstance(bare_model(self.model), MultiTaskEncoderDecoder):
            compile_network(self.model, self.cfg.get('compile') or False)
        else:
            super()._maybe_compile(target)

    # ---- parts -------------------------------------------------------------------------------------------------
    def build_optim_wrapper(self, *args, **options):
        """As mmengine's; where mmsegmentation's constructor does not know the encoder, a message says what does."""
        try:
            return super().build_optim_wrapper(*args, **options)
        except NotImplementedError as error:
            if str(error):
                raise
            raise ValueError(
                "The optim_wrapper's constructor does not know this encoder. For rates that decay by layer give "
                "optim_wrapper=dict(constructor='TrainableOptimWrapperConstructor', "
                'paramwise_cfg=dict(layer_decay=0.75)), for other rules paramwise_cfg.custom_keys.'
            ) from error

    def build_logger(self, *args, **options) -> MMLogger:
        """As mmengine's, with a log file whose disk may be full: that is said once, and the training goes on."""
        logger = super().build_logger(*args, **options)
        for handler in [x for x in logger.handlers if type(x) is logging.FileHandler]:
            logger.removeHandler(handler)
            handler.close()
            logger.addHandler(PatientFileHandler.like(handler))
        for handler in logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(ShortConsole())
        return logger

    @staticmethod
    def build_dataloader(dataloader, seed: int | None = None, diff_rank_seed: bool = False) -> DataLoader:
        """As mmengine's; without workers nothing of workers is asked for, and seeds reach through every wrapper."""
        if isinstance(dataloader, dict):
            dataloader = dict(dataloader)
            if not dataloader.get('num_workers'):
                dataloader.update(persistent_workers=False)
                dataloader.pop('prefetch_factor', None)
            dataset = dataloader['dataset']
            dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
            if hasattr(dataset, 'full_init'):
                dataset.full_init()
            inner = isinstance(dataset, (MultiTaskDataset, SeededDataset))
            dataloader['dataset'] = dataset if inner else SeededDataset(dataset)
        loader = Runner.build_dataloader(dataloader, seed, diff_rank_seed)
        if loader.num_workers:
            loader.worker_init_fn = partial(start_worker, loader.worker_init_fn)
        return loader

    def register_hooks(self, default_hooks=None, custom_hooks=None) -> None:
        super().register_hooks(default_hooks, custom_hooks)
        # Not by config, so that no config can leave them out.
        self.register_hook(BroadcastBuffersHook())
        self.register_hook(SeedHook())
        if self.cfg.get('feature_cache'):
            self.register_hook(FeatureCacheHook())
        if self.task_names:
            self.register_hook(TaskOrderHook(TaskSet(_innermost_model(self.cfg)['tasks'])))

    def build_visualizer(self, visualizer=None):
        """As mmengine does; TensorBoard is left out where it is not installed, as it would stop the training."""
        if isinstance(visualizer, dict) and find_spec('tensorboard') is None:
            backends = visualizer.get('vis_backends') or []
            kept = [x for x in backends if x.get('type') != 'TensorboardVisBackend']
            if len(kept) < len(backends):
                self.logger.warning('TensorBoard is not installed, so no curves: pip install tensorboard')
            visualizer = dict(visualizer, vis_backends=kept)
        shorten_disk_errors()
        return super().build_visualizer(visualizer)


def complete_save_best(cfg) -> None:
    """Write the full key and the rule of ``save_best`` into the checkpoint hook of a bound config, in place.

    'auto' becomes the headline of the first evaluated task, as in 'semseg/mIoU'. mmengine guesses the direction from
    the metric's name and knows few of them; here it comes from the task. A rule that is given is kept.
    """
    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    key = hook.get('save_best')
    if not isinstance(key, str):
        return
    model = _innermost_model(cfg)
    if not model:
        return
    tasks = TaskSet(model['tasks'])
    evaluated = tasks.subset((model.get('test_cfg') or {}).get('tasks') or tasks.names)
    if key == 'auto':
        name = evaluated.names[0]
        key = hook['save_best'] = f'{name}/{tasks[name].headline}'
    rules = {f'{name}/{task.headline}': task.higher_is_better for name, task in tasks.items()}
    rules['delta_m'] = True
    if hook.get('rule') is None and key in rules:
        hook['rule'] = 'greater' if rules[key] else 'less'


def _innermost_model(cfg) -> dict:
    """The config of the model proper, inside a wrapper for test-time augmentation; empty where there is none."""
    model = cfg.get('model')
    if not isinstance(model, (dict, ConfigDict)):
        return {}
    return model.get('module') or model


def _end_workers(*loops) -> None:
    """Ask persistent workers to end; the interpreter's exit would wait seconds for each and then signal them."""
    for loop in loops:
        loader = getattr(loop, 'dataloader', None)  # a config where the loop was never built
        workers = getattr(loader, '_iterator', None)
        if workers is not None:
            loader._iterator = None
            workers._shutdown_workers()
