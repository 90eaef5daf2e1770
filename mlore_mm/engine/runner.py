"""mmengine's runner, told about tasks and about machines without an accelerator."""

import copy
from datetime import timedelta
from functools import partial
from importlib.util import find_spec

import torch.distributed as torch_dist
from mmengine.config import ConfigDict
from mmengine.device import get_device
from mmengine.dist import is_distributed
from mmengine.model import MMDistributedDataParallel, is_model_wrapper, revert_sync_batchnorm
from mmengine.runner import CheckpointLoader, Runner
from mmengine.runner.checkpoint import _load_checkpoint_to_model
from torch import nn
from torch.utils.data import DataLoader

from mlore_mm.engine.hooks.broadcast_buffers_hook import BroadcastBuffersHook
from mlore_mm.engine.hooks.seed_hook import SeedHook
from mlore_mm.engine.hooks.task_order_hook import TaskOrderHook
from mlore_mm.engine.loader_workers import start_worker
from mlore_mm.engine.loading import choose_checkpoint, require_all_weights, weights_only
from mlore_mm.registry import MODELS, RUNNERS
from mlore_mm.tasks import TaskSet, bind_tasks
from mlore_mm.utils.config_text import OrderedConfig
from mlore_mm.utils.safe_load import load_checkpoint_file

_TRAINING_ONLY = ('criterion.', 'data_preprocessor.')  # weights that a test can do without


@RUNNERS.register_module()
class MultiTaskRunner(Runner):
    """A Runner whose ``from_cfg`` hands the task definitions round; configs name it as ``runner_type``.

    mmengine's and mmsegmentation's own scripts honour that name, so every one of them comes through here. Beyond
    ``bind_tasks`` it

    - completes ``save_best`` of the checkpoint hook: 'auto' is the headline of the first task, and whether more is
      better follows from the task;
    - writes the config with its keys in their order (:class:`OrderedConfig`);
    - stores the ordered task names in checkpoints and compares them on loading (:class:`TaskOrderHook`);
    - reads weights without running code, takes the newest whole checkpoint to resume from, and tests and resumes
      with all weights or not at all;
    - makes the random numbers of every iteration follow from the seed (:class:`SeedHook`);
    - runs on the CPU, alone or in several processes, without a change to the config: gloo takes the place of NCCL,
      and batch norms of our own that of PyTorch's synchronised ones, which need an accelerator.
    """

    _whole_model = False  # whether weights that a checkpoint lacks are an error

    @classmethod
    def from_cfg(cls, cfg) -> 'MultiTaskRunner':
        cfg = bind_tasks(OrderedConfig.from_config(copy.deepcopy(cfg)))
        complete_save_best(cfg)
        return super().from_cfg(cfg)

    @property
    def task_names(self) -> list[str]:
        """Names of the model's tasks, in the model's order; empty where the runner was built without a config."""
        return list(_innermost_model(self.cfg).get('tasks') or {})

    # ---- machines without an accelerator -----------------------------------------------------------------------
    def setup_env(self, env_cfg: dict) -> None:
        if self.distributed and not is_distributed() and get_device() == 'cpu':
            _init_gloo(self.launcher, env_cfg.get('dist_cfg', {}))
        super().setup_env(env_cfg)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        if not self.distributed or get_device() != 'cpu' or is_model_wrapper(model):
            return super().wrap_model(model_wrapper_cfg, model)
        # mmengine passes a device id, which PyTorch refuses for a model on the CPU, and would convert the batch norms
        # to PyTorch's SyncBatchNorm, which runs on accelerators only.
        model = revert_sync_batchnorm(model)
        if self.cfg.get('sync_bn'):
            model = MODELS.get('PortableSyncBatchNorm').convert(model)
        if model_wrapper_cfg is not None:
            return super().wrap_model(dict(model_wrapper_cfg, device_ids=None), model)
        return MMDistributedDataParallel(
            module=model,
            broadcast_buffers=False,
            find_unused_parameters=self.cfg.get('find_unused_parameters', False),
        )

    # ---- checkpoints -------------------------------------------------------------------------------------------
    def load_or_resume(self) -> None:
        if self._resume and not self._has_loaded:
            self._load_from = choose_checkpoint(self.work_dir, self._load_from)
        super().load_or_resume()

    def load_checkpoint(
        self, filename, map_location='cpu', strict: bool = False, revise_keys=((r'^module\.', ''),)
    ) -> dict:
        """As mmengine's, for files and URLs on the CPU first, and without code that a file brings along.

        Raises:
            ValueError: See :func:`load_checkpoint_file`; or weights are missing, and this is no start of a training.
        """
        filename = str(filename)
        if filename.partition('://')[0] in (filename, 'http', 'https'):
            checkpoint = load_checkpoint_file(filename)
        else:
            with weights_only(filename):
                checkpoint = CheckpointLoader.load_checkpoint(filename, map_location='cpu')
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        if self._resume or self._whole_model:
            require_all_weights(self.model, checkpoint, filename, () if self._resume else _TRAINING_ONLY)
        model = self.model.module if is_model_wrapper(self.model) else self.model
        checkpoint = _load_checkpoint_to_model(model, checkpoint, strict, revise_keys=list(revise_keys))
        self._has_loaded = True
        self.logger.info(f'Load checkpoint from {filename}')
        return checkpoint

    def _init_model_weights(self) -> None:
        with weights_only('A file of pre-trained weights (init_cfg)'):
            super()._init_model_weights()

    def train(self) -> nn.Module:
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

    @staticmethod
    def build_dataloader(dataloader, seed: int | None = None, diff_rank_seed: bool = False) -> DataLoader:
        loader = Runner.build_dataloader(dataloader, seed, diff_rank_seed)
        if loader.num_workers:
            loader.worker_init_fn = partial(start_worker, loader.worker_init_fn)
        return loader

    # ---- hooks and pictures ------------------------------------------------------------------------------------
    def register_hooks(self, default_hooks=None, custom_hooks=None) -> None:
        super().register_hooks(default_hooks, custom_hooks)
        # Not by config, so that no config can leave them out.
        self.register_hook(BroadcastBuffersHook())
        self.register_hook(SeedHook())
        if self.task_names:
            self.register_hook(TaskOrderHook(self.task_names))

    def build_visualizer(self, visualizer=None):
        """As mmengine does; TensorBoard is left out where it is not installed, as it would stop the training."""
        if isinstance(visualizer, dict) and find_spec('tensorboard') is None:
            backends = visualizer.get('vis_backends') or []
            kept = [x for x in backends if x.get('type') != 'TensorboardVisBackend']
            if len(kept) < len(backends):
                self.logger.warning('TensorBoard is not installed, so no curves: pip install tensorboard')
            visualizer = dict(visualizer, vis_backends=kept)
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


def _init_gloo(launcher: str, dist_cfg: dict) -> None:
    """Start process groups over gloo; mmengine's own start selects a CUDA device first, which fails without one."""
    if launcher != 'pytorch':
        raise ValueError(
            f"Several processes without an accelerator are started with torchrun (launcher 'pytorch', see "
            f"tools/dist_train.sh), but the launcher is '{launcher}'."
        )
    timeout = dist_cfg.get('timeout')
    options = dict(timeout=timedelta(seconds=timeout)) if timeout is not None else {}
    torch_dist.init_process_group(backend='gloo', **options)
