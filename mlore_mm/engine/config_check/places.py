"""What stands where at the top level of a config, and which registry it is built by."""

import logging
from types import NoneType

import torch
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Priority, TestLoop, ValLoop
from torch.distributed import init_process_group
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.utils.data import DataLoader

from mlore_mm import registry as ours
from mlore_mm.engine.config_check.components import Checker, known_types
from mlore_mm.engine.config_check.display import log_processor, visualizer
from mlore_mm.tasks import TaskSet
from mlore_mm.utils.accepted_keys import Accepted, accepted_keys, closest

PARAMWISE = (
    *('custom_keys', 'bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult', 'flat_decay_mult', 'dwconv_decay_mult'),
    *('dcn_offset_lr_mult', 'bypass_duplicate', 'layer_decay'),
)
# mmengine takes these out of a dataloader's config itself.
_LOADER = Accepted(
    {
        **accepted_keys(DataLoader).names,
        **dict.fromkeys(('drop_last', 'pin_memory', 'persistent_workers'), (bool, NoneType)),
        **dict.fromkeys(('timeout', 'prefetch_factor'), (float, NoneType)),
    },
    True,
)
_LOADER_EXTRA = ('dataset', 'sampler', 'batch_sampler', 'worker_init_fn', 'collate_fn', 'num_batch_per_epoch')


def dataloader(checker: Checker, name: str, config) -> None:
    if not checker.is_dict(config, name, 'dict(batch_size=..., dataset=...)'):
        return
    checker.keys(config, name, _LOADER, 'a dataloader', _LOADER_EXTRA)
    collate = config.get('collate_fn')
    if isinstance(collate, dict) and 'type' in collate:
        checker.component(collate, f'{name}.collate_fn', ours.FUNCTIONS)
    if config.get('shuffle') is not None and (config.get('sampler') or config.get('batch_sampler')):
        checker.problems.append(f'{name}.shuffle does nothing beside a sampler. Set {name}.sampler.shuffle.')
    for key, registry in (('dataset', ours.DATASETS), ('sampler', ours.DATA_SAMPLERS)):
        if key in config:
            checker.component(config[key], f'{name}.{key}', registry)
    checker.anything(config.get('batch_sampler'), f'{name}.batch_sampler', ours.DATA_SAMPLERS)


def loop(checker: Checker, name: str, config) -> None:
    if not checker.is_dict(config, name, "dict(type='...')"):
        return
    if 'type' in config and 'by_epoch' in config:
        checker.problems.append(f'{name} has `type` and `by_epoch`, which say the same. Leave `by_epoch` out.')
    by_epoch = EpochBasedTrainLoop if config.get('by_epoch') else IterBasedTrainLoop
    default = dict(train_cfg=by_epoch, val_cfg=ValLoop, test_cfg=TestLoop)[name]
    checker.component(config, name, ours.LOOPS, default, ('by_epoch',))
    steps = config.get('dynamic_intervals') or []
    if not isinstance(steps, (list, tuple)) or any(not isinstance(x, (list, tuple)) or len(x) != 2 for x in steps):
        checker.problems.append(
            f'{name}.dynamic_intervals is {steps!r}, expected pairs [(iteration, val_interval), ...].'
        )


def optim_wrapper(checker: Checker, name: str, config) -> None:
    if not isinstance(config, dict) or 'optimizer' not in config:  # several optimizers, by a constructor of one's own
        checker.anything(config, name, ours.OPTIM_WRAPPERS)
        return
    checker.component(config, name, ours.OPTIM_WRAPPERS, 'OptimWrapper', ('constructor', 'paramwise_cfg'))
    kind = config.get('constructor', 'DefaultOptimWrapperConstructor')
    cls = checker.find(kind, ours.OPTIM_WRAPPER_CONSTRUCTORS) if isinstance(kind, str) else kind
    if cls is None:
        meant = closest(kind, ['DefaultOptimWrapperConstructor', *ours.OPTIM_WRAPPER_CONSTRUCTORS.module_dict])
        checker.problems.append(f'{name}.constructor is {kind!r}, which is not known. Did you mean {meant!r}?')
    if isinstance(config.get('loss_scale'), str):
        checker.plain(config['loss_scale'], f'{name}.loss_scale', {'dynamic'})
    checker.plain(config.get('dtype'), f'{name}.dtype', {'float16', 'bfloat16', 'float32', 'float64'})
    optimizer = config['optimizer']
    if not checker.problems and isinstance(optimizer, dict):
        checker.try_out(optimizer, f'{name}.optimizer', ours.OPTIMIZERS, params=_parameters())
    clip = config.get('clip_grad')
    by_value = isinstance(clip, dict) and clip.get('type') == 'value'
    if isinstance(clip, dict):
        accepted = accepted_keys(clip_grad_value_ if by_value else clip_grad_norm_)
        checker.keys(clip, f'{name}.clip_grad', accepted, 'clipping', ('type',))
    paramwise = config.get('paramwise_cfg')
    if isinstance(paramwise, dict) and cls in (DefaultOptimWrapperConstructor, _ours()):
        checker.keys(paramwise, f'{name}.paramwise_cfg', Accepted(dict.fromkeys(PARAMWISE), True), 'paramwise_cfg')
        for key, value in (paramwise.get('custom_keys') or {}).items():
            checker.plain(value, f'{name}.paramwise_cfg.custom_keys.{key}', ('lr_mult', 'decay_mult'))


def _parameters() -> list:
    return [torch.nn.Parameter(torch.zeros(1))]


def _ours():
    return ours.OPTIM_WRAPPER_CONSTRUCTORS.get('TrainableOptimWrapperConstructor')


def evaluator(checker: Checker, name: str, config) -> None:
    if isinstance(config, dict):  # an evaluator, or one metric
        single = isinstance(config.get('type'), str) and config['type'].split('.')[-1] in known_types(ours.METRICS)
        checker.component(config, name, ours.METRICS if single else ours.EVALUATOR, 'Evaluator')
    else:
        checker.anything(config, name, ours.METRICS)


def hooks(checker: Checker, name: str, config) -> None:
    if not isinstance(config, (dict, list, tuple)):
        checker.problems.append(f"{name} is {config!r}, expected a list such as [dict(type='EMAHook')].")
        return
    for key, hook in config.items() if isinstance(config, dict) else enumerate(config):
        if isinstance(hook, dict) and 'type' not in hook and isinstance(config, dict):
            meant = closest(str(key), [x for x in config if x != key])
            hint = f'Did you mean {name}.{meant}?' if meant else "Give it one: dict(type='...')."
            checker.problems.append(f'{name}.{key} has no `type`, so nothing can be built from {dict(hook)}. {hint}')
        else:
            checker.component(hook, f'{name}.{key}', ours.HOOKS, extra=('priority',))
            _priority(checker, f'{name}.{key}.priority', hook)


def _priority(checker: Checker, place: str, hook) -> None:
    """A name such as 'LOW', or a number."""
    given = hook.get('priority') if isinstance(hook, dict) else None
    if isinstance(given, str) and given.upper() not in Priority.__members__:
        meant = closest(given, Priority.__members__)
        hint = f'Did you mean {meant!r}?' if meant else f'There are {", ".join(Priority.__members__)}.'
        checker.problems.append(f'{place} is {given!r}. {hint}')


def schedulers(checker: Checker, name: str, config) -> None:
    if isinstance(config, dict) and 'type' not in config:  # lists by name, for several optimizers
        for key, inner in config.items():
            schedulers(checker, f'{name}.{key}', inner)
        return
    for index, item in enumerate(config if isinstance(config, (list, tuple)) else [config]):
        where = f'{name}.{index}' if isinstance(config, (list, tuple)) else name
        checker.component(item, where, ours.PARAM_SCHEDULERS, extra=('convert_to_iter_based',))
        if not checker.problems and isinstance(item, dict) and not item.get('convert_to_iter_based'):
            checker.try_out(item, where, ours.PARAM_SCHEDULERS, optimizer=torch.optim.AdamW(_parameters(), lr=1e-3))
            _no_rate_of_nothing(checker, where, item)


def _no_rate_of_nothing(checker: Checker, place: str, item: dict) -> None:
    """mmengine computes each rate from the one before by a factor, which does not exist after 0."""
    for key in ('start_factor', 'gamma'):
        value = item.get(key)
        if isinstance(value, (int, float)) and value <= 0:
            checker.problems.append(f'{place}.{key} is {value}, expected a number above 0, such as 1e-6.')


def compiling(checker: Checker, name: str, config) -> None:
    """True, or options of ``torch.compile``."""
    if isinstance(config, dict):
        checker.keys(config, name, accepted_keys(torch.compile), 'torch.compile', ('target',))
    elif not isinstance(config, bool):
        checker.problems.append(f"{name} is {config!r}, expected True or dict(mode='max-autotune').")


def tasks(checker: Checker, name: str, config) -> None:
    for key, task in config.items():
        checker.component(task, f'{name}.{key}', ours.TASKS)
        built = TaskSet({key: task})[key]
        for part, registry in (('loss', ours.MODELS), ('metric', ours.METRICS)):
            if isinstance(task.get(part), dict) and 'type' not in task[part]:  # that of the class, with other options
                checker.component(getattr(built, part), f'{name}.{key}.{part}', registry)
        if not checker.problems:
            checker.try_out(built.metric, f'{name}.{key}.metric', ours.METRICS, task=key)


def tta_model(checker: Checker, name: str, config) -> None:
    """What averages over flips and scales; the model itself is put in when a test begins."""
    checker.component(config, name, ours.MODELS)
    if isinstance(config, dict) and config.get('module') is not None:
        checker.problems.append(f'{name}.module: the model of the config is put there. Leave it out.')


def _by(registry, default: str | None = None, extra: tuple[str, ...] = ()):
    return lambda checker, name, config: checker.component(config, name, registry, default, extra)


PLACES = dict(
    tasks=tasks,
    model=_by(ours.MODELS),
    train_dataloader=dataloader,
    val_dataloader=dataloader,
    test_dataloader=dataloader,
    val_evaluator=evaluator,
    test_evaluator=evaluator,
    train_cfg=loop,
    val_cfg=loop,
    test_cfg=loop,
    optim_wrapper=optim_wrapper,
    param_scheduler=schedulers,
    default_hooks=hooks,
    custom_hooks=hooks,
    visualizer=visualizer,
    log_processor=log_processor,
    model_wrapper_cfg=_by(ours.MODEL_WRAPPERS),
    strategy=_by(ours.STRATEGIES),
    tta_model=tta_model,
    compile=compiling,
    tta_pipeline=lambda checker, name, config: checker.anything(config, name, ours.TRANSFORMS),
)
# Dicts with fixed keys, which may hold dicts with fixed keys.
FIXED = dict(
    env_cfg=dict(
        cudnn_benchmark=(bool,),
        mp_cfg=dict(mp_start_method=frozenset(('fork', 'spawn', 'forkserver')), opencv_num_threads=(int,)),
        dist_cfg=dict(
            dict.fromkeys(accepted_keys(init_process_group).names),
            backend={'nccl', 'gloo', 'mpi', 'smddp', 'hccl', 'cncl', 'mccl'},
            port=None,
            init_backend=None,
        ),
        resource_limit=(int,),
    ),
    log_level=frozenset((*logging._nameToLevel, *logging._nameToLevel.values())),
    launcher=frozenset(('none', 'pytorch', 'slurm', 'mpi')),
    sync_bn=frozenset(('torch', 'mmcv')),
    resume_settings=frozenset(('checkpoint', 'config')),
    randomness=dict(seed=None, diff_rank_seed=(bool,), deterministic=(bool,)),
    feature_cache=dict(path=None, augmentations=None),
    auto_scale_lr=dict(enable=(bool,), base_batch_size=(int,)),
    custom_imports=dict(imports=None, allow_failed_imports=None),
)
