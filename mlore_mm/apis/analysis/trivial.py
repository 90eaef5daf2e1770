"""What a predictor scores that does not look at the image."""

import copy
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from torch import Tensor
from torch.utils.data import Dataset

from mlore_mm.registry import DATASETS, EVALUATOR
from mlore_mm.tasks import TaskSet, bind_tasks


def evaluate_trivial(cfg: Config) -> dict[str, float]:
    """Evaluate constant predictions on the test set of a config, by the same metrics as a model.

    The constants (majority class, mean depth, mean normal; see ``Task.constant``) come from the training labels as
    they are stored, without augmentation. A trained model has to beat these numbers to have learned anything.

    Args:
        cfg: A config as :func:`load_config` returns it.

    Returns:
        The metrics, named as those of :func:`evaluate_model`.
    """
    init_default_scope(cfg.get('default_scope', 'mlore_mm'))
    bound = bind_tasks(copy.deepcopy(cfg))
    if 'work_dir' in bound:  # not over the numbers of the model
        bound.test_evaluator.setdefault('out_file', str(Path(bound.work_dir) / 'trivial.json'))
    test_set, evaluator = DATASETS.build(bound.test_dataloader.dataset), EVALUATOR.build(bound.test_evaluator)
    tasks = TaskSet(test_set.metainfo['tasks'])
    constants = {name: task.constant(_labels(_training_set(cfg, name), name)) for name, task in tasks.items()}
    evaluator.dataset_meta = test_set.metainfo
    for data in test_set:
        sample = data['data_samples']
        sample.pred = PixelData(**{n: c.expand(-1, *sample.gt.get(n).shape[-2:]) for n, c in constants.items()})
        evaluator.process([sample])
    return evaluator.evaluate(len(test_set))


def _training_set(cfg: Config, task: str) -> Dataset:
    """The training images with labels of one task only, loaded as for a test."""
    cfg = copy.deepcopy(cfg)
    cfg.task_names, cfg.aux_tasks, cfg.eval_tasks = [task], [], [task]
    config = bind_tasks(cfg).train_dataloader.dataset
    config.pipeline = cfg.test_dataloader.dataset.pipeline
    config.test_mode = True
    return DATASETS.build(config)


def _labels(dataset: Dataset, task: str) -> Iterator[Tensor]:
    for index in range(len(dataset)):
        yield dataset[index]['data_samples'].gt.get(task)
