"""The names at the top level of a config: what the runner takes, and variables of the config's own."""

import inspect
import logging
import re

from mmengine.logging import print_log
from mmengine.runner import FlexibleRunner, Runner

from mlore_mm.utils.accepted_keys import closest
from mlore_mm.utils.config_variables import referenced_variables

# What mmengine, its scripts, and we read from a config besides the arguments of the runners.
_MORE = (
    *('tasks', 'task_names', 'aux_tasks', 'eval_tasks', 'runner_type', 'custom_imports', 'sync_bn', 'tta_model'),
    *('tta_pipeline', 'find_unused_parameters', 'model_wrapper_cfg', 'broadcast_buffers', 'compile', 'work_dir'),
    *(
        'resume_settings',
        'launcher',
        'filename',
        'dist_params',
        'cudnn_benchmark',
        'detect_anomalous_params',
        'activation_checkpointing',
        'feature_cache',
    ),
)
KNOWN = {
    name
    for cls in (Runner, FlexibleRunner)
    for name in inspect.signature(cls).parameters
    if name not in ('cfg', 'extra_ckpt')
} | set(_MORE)
# What configs of OpenMMLab call their own variables; some are near to a name of the runner.
_USUAL = {
    *('train_pipeline', 'test_pipeline', 'val_pipeline', 'dataset', 'dataset_type', 'data_root', 'crop_size'),
    *('img_size', 'max_iters', 'max_epochs', 'labels', 'classes', 'palette', 'num_classes', 'backend_args'),
    *('norm_cfg', 'vis_backends', 'scale_range', 'test_pad', 'checkpoint_file', 'optimizer', 'lr', 'batch_size'),
    *('train_dataset', 'val_dataset', 'test_dataset', 'img_scale', 'num_workers', 'base_lr', 'img_norm_cfg'),
}


def check_names(cfg) -> None:
    """Names at the top level that nothing takes and nothing uses.

    A variable that the file uses is fine, whatever it is called; one that is near to a name of the runner and does
    nothing is that name misspelt. In a bound config, as a work folder holds it, variables are left-overs.

    Args:
        cfg: A config as it was read, not bound yet.

    Raises:
        ValueError: Names that were probably meant otherwise; a warning is logged for others.
    """
    was_bound = isinstance(cfg.get('model'), dict) and 'tasks' in (cfg.model.get('module') or cfg.model)
    errors = [] if was_bound else _set_at_the_top(cfg.get('model'))
    referenced = referenced_variables(cfg)
    used = referenced | names_used(getattr(cfg, 'text', '') or '')
    for name in cfg:
        if name in KNOWN or name in used or name.startswith('_'):
            continue
        meant = closest(name, KNOWN | referenced, 0.75)
        if was_bound or name in _USUAL:
            continue
        if meant:
            errors.append(f'{name}: nothing takes a setting of this name. Did you mean {meant!r}?')
        else:
            text = f'The config sets `{name}`, which neither the runner nor the config itself uses.'
            print_log(text, logger='current', level=logging.WARNING)
    raise_mistakes(errors, cfg)


def _set_at_the_top(model) -> list[str]:
    """Settings that every binding of the tasks writes into the model, and that do nothing where they are set there."""
    model = model if isinstance(model, dict) else {}
    test_cfg = model.get('test_cfg') if isinstance(model.get('test_cfg'), dict) else {}
    wrong = {'model.aux_tasks': ('aux_tasks', model), 'model.test_cfg.tasks': ('eval_tasks', test_cfg)}
    return [
        f'{place}: it is taken from `{name}` at the top of the config. Set {name} there.'
        for place, (name, part) in wrong.items()
        if part.get(place.rpartition('.')[2])
    ]


def raise_mistakes(mistakes: list[str], cfg) -> None:
    """One ValueError for all of them, if there are any."""
    if mistakes:
        source = getattr(cfg, 'filename', None) or ''
        number = '1 mistake' if len(mistakes) == 1 else f'{len(mistakes)} mistakes'
        raise ValueError(f'The config {source} has {number}:' + ''.join(f'\n- {mistake}' for mistake in mistakes))


def check_overrides(cfg, overrides: dict) -> None:
    """Settings of the command line that would do nothing.

    Args:
        cfg: The config as it was read, before the overrides.
        overrides: Dotted key to value.

    Raises:
        ValueError: A name that nothing takes, or a variable that was copied to where it is used while the file is read.
    """
    referenced, used = referenced_variables(cfg), names_used(getattr(cfg, 'text', '') or '')
    for key in overrides:
        name = key.split('.')[0]
        if name in KNOWN or name in referenced or name.startswith('_'):
            continue
        if name not in cfg:
            meant = closest(name, [*KNOWN, *referenced])
            hint = f'Did you mean {meant!r}?' if meant else 'They begin with a part of the config: model., tasks., ...'
            raise ValueError(f'{key}: nothing takes a setting called {name!r}. {hint}')
        if name in used:
            raise ValueError(
                f'{key}: the config copied its variable {name!r} to where it is used while it was read, so setting it '
                f"now changes nothing. Set what was made of it, or write '${name}' in the config in place of {name}."
            )


def names_used(text: str) -> set[str]:
    """Names that a config's source uses on the right of something, as in ``dataset=dict(labels=labels)``."""
    text = re.sub(r'(?m)#.*$', '', text)
    return set(re.findall(r'(?<![\w\'"])([A-Za-z_]\w*)\b(?!\s*=(?!=))', text))
