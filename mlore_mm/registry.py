"""A child of every mmengine registry, so that plain type names in our configs find our classes first, plus ``TASKS``.

``locations`` name the subpackages that are imported the first time a registry is asked, so importing ``mlore_mm``
itself stays light. Classes of other OpenMMLab packages are reached by their scope: ``type='mmseg.SwinTransformer'``.
"""

import mmengine.registry as _parents
from mmengine.registry import Registry


def _child(parent: str, *locations: str) -> Registry:
    parent_registry = getattr(_parents, parent)
    return Registry(
        parent_registry.name, parent=parent_registry, scope='mlore_mm', locations=[f'mlore_mm.{x}' for x in locations]
    )


RUNNERS = _child('RUNNERS', 'engine')
RUNNER_CONSTRUCTORS = _child('RUNNER_CONSTRUCTORS')
STRATEGIES = _child('STRATEGIES', 'engine')
LOOPS = _child('LOOPS', 'engine')
HOOKS = _child('HOOKS', 'engine')
LOG_PROCESSORS = _child('LOG_PROCESSORS')

DATASETS = _child('DATASETS', 'datasets')
DATA_SAMPLERS = _child('DATA_SAMPLERS', 'datasets')
TRANSFORMS = _child('TRANSFORMS', 'datasets')

MODELS = _child('MODELS', 'models')
MODEL_WRAPPERS = _child('MODEL_WRAPPERS', 'models')
WEIGHT_INITIALIZERS = _child('WEIGHT_INITIALIZERS', 'engine')
TASK_UTILS = _child('TASK_UTILS')

OPTIMIZERS = _child('OPTIMIZERS')
OPTIM_WRAPPERS = _child('OPTIM_WRAPPERS', 'engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child('OPTIM_WRAPPER_CONSTRUCTORS', 'engine')
PARAM_SCHEDULERS = _child('PARAM_SCHEDULERS')

FUNCTIONS = _child('FUNCTIONS', 'engine')  # such as the reader of weight files

METRICS = _child('METRICS', 'evaluation')
EVALUATOR = _child('EVALUATOR', 'evaluation')

VISUALIZERS = _child('VISUALIZERS', 'visualization')
VISBACKENDS = _child('VISBACKENDS', 'visualization')
INFERENCERS = _child('INFERENCERS', 'apis')

# The registries of our own: kinds of task (see mlore_mm/tasks), and how label files are read.
TASKS = Registry('task', scope='mlore_mm', locations=['mlore_mm.tasks'])
LABEL_READERS = Registry('label reader', scope='mlore_mm', locations=['mlore_mm.datasets'])


def class_of(config: dict, registry: Registry = MODELS) -> type | None:
    """The class that ``type`` of a config names by its name, with or without scope, or is; None where there is none."""
    named = config.get('type')
    return registry.get(named) if isinstance(named, str) else named
