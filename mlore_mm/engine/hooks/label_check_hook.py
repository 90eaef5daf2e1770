"""A look at some labels before they are trained on."""

import logging

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log

from mlore_mm.datasets import MultiTaskDataset
from mlore_mm.datasets.checking_config import survey_sample
from mlore_mm.registry import HOOKS


@HOOKS.register_module()
class LabelCheckHook(Hook):
    """Warns of labels that cannot be meant, from a sample of each training set; ``check_dataset.py`` looks at all.

    Args:
        samples: Samples of each data set that are read, evenly over it; 0 for none.
    """

    priority = 'VERY_LOW'

    def __init__(self, samples: int = 16) -> None:
        self.samples = samples

    def before_train(self, runner) -> None:
        if not self.samples or not is_main_process():
            return
        for dataset in _leaves(runner.train_dataloader.dataset):
            for survey in survey_sample(dataset, self.samples).values():
                for finding in survey.findings(whole=False):
                    print_log(
                        f'Labels of {dataset.data_root}, {self.samples} samples: {finding} '
                        f'tools/dataset_converters/check_dataset.py looks at all of them.',
                        'current',
                        logging.WARNING,
                    )


def _leaves(dataset) -> list[MultiTaskDataset]:
    """The data sets with label files inside wrappers such as ConcatDataset and RepeatDataset."""
    if isinstance(dataset, MultiTaskDataset):
        return [dataset]
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    return [leaf for part in inner if part is not None for leaf in _leaves(part)]
