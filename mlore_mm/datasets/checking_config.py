"""Look at every file that a config names, before training does."""

import os
from collections.abc import Iterator

import numpy as np
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader, Dataset

from mlore_mm.datasets.multi_task_dataset import MultiTaskDataset
from mlore_mm.datasets.survey import Photo, TaskSurvey, merge_surveys, survey_label
from mlore_mm.datasets.transforms.loading import check_label, read_label
from mlore_mm.registry import DATASETS
from mlore_mm.tasks import bind_tasks, leaf_datasets


def open_datasets(cfg: Config, split: str) -> list[MultiTaskDataset]:
    """The data sets of a split ('train', 'val' or 'test') without their pipelines, through wrappers around them.

    Raises:
        ValueError: The config has no such split, or a folder, list or image is missing.
    """
    loader = bind_tasks(cfg).get(f'{split}_dataloader')
    if not loader:
        raise ValueError(f'The config {cfg.filename or ""} has no {split}_dataloader.')
    init_default_scope(cfg.get('default_scope', 'mlore_mm'))
    return [_open(config) for config in leaf_datasets(loader)]


def open_datasets_one_by_one(cfg: Config, split: str) -> tuple[list[MultiTaskDataset], list[str]]:
    """Those that can be opened, and what is wrong with each of the others: one bad list does not hide the next."""
    loader = bind_tasks(cfg).get(f'{split}_dataloader')
    if not loader:
        return [], [f'The config {cfg.filename or ""} has no {split}_dataloader.']
    init_default_scope(cfg.get('default_scope', 'mlore_mm'))
    datasets, problems = [], []
    for config in leaf_datasets(loader):
        try:
            datasets.append(_open(config))
        except ValueError as error:
            problems.append(str(error))
    return datasets, problems


def _open(config: dict) -> MultiTaskDataset:
    """Missing labels do not stop it, since ``check_dataset`` lists them."""
    dataset = DATASETS.build(dict(config, pipeline=[], lazy_init=True))
    wanted, dataset.missing_labels = dataset.missing_labels, 'ignore'
    dataset.full_init()
    dataset.missing_labels = wanted
    return dataset


def count_labels(dataset: MultiTaskDataset) -> dict[str, int]:
    """For how many samples each task has a label file."""
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    return {task: sum(info['label_files'][task] is not None for info in infos) for task in dataset.tasks}


def check_dataset(dataset: MultiTaskDataset, workers: int = 2) -> Iterator[list[str]]:
    """The problems of each sample in order, one message per file: unreadable, of another size, values without meaning.

    A missing label is a problem where the config says ``missing_labels='raise'``.
    """
    for problems, _ in inspect_dataset(dataset, workers):
        yield problems


def inspect_dataset(dataset: MultiTaskDataset, workers: int = 2) -> Iterator[tuple[list[str], dict[str, TaskSurvey]]]:
    """For each sample in order its problems, and what its labels hold, by task."""
    yield from DataLoader(_Samples(dataset), batch_size=None, num_workers=min(workers, len(dataset)))


class _Samples(Dataset):
    def __init__(self, dataset: MultiTaskDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[list[str], dict[str, TaskSurvey]]:
        try:
            info = self.dataset.get_data_info(index)
            image = os.fspath(info['img_path'])
            photo = Photo.read(image)
        except ValueError as error:
            return [str(error)], {}  # nothing to compare the labels with
        problems, surveys = [], {}
        for name, task in self.dataset.tasks.items():
            if info['label_files'][name] is None:
                problems += self._missing(name, info['sample_id'])
                surveys[name] = TaskSurvey(task)
                surveys[name].missing = 1
                continue
            try:
                surveys[name] = survey_label(task, *info['label_files'][name], photo.size, image, photo)
            except ValueError as error:
                problems.append(str(error))
        return problems, surveys

    def _missing(self, task: str, sample_id: str) -> list[str]:
        readers = self.dataset.readers[task]
        if self.dataset.missing_labels != 'raise' or not readers:
            return []
        wanted = ' or '.join(' + '.join(reader.paths(self.dataset.data_root, sample_id)) for reader in readers)
        return [f"No label of task '{task}': expected {wanted}."]


def survey_sample(dataset: MultiTaskDataset, samples: int = 16) -> dict[str, TaskSurvey]:
    """What the labels of some samples hold, evenly over the data set; those that cannot be read are left out."""
    surveys: dict[str, TaskSurvey] = {}
    for index in sorted({int(i) for i in np.linspace(0, len(dataset) - 1, min(samples, len(dataset)))}):
        info = dataset.get_data_info(index)
        for name, task in dataset.tasks.items():
            if info['label_files'][name] is None:
                continue
            reader, paths = info['label_files'][name]
            try:
                raw = read_label(reader, paths)
                if raw is not None:
                    survey = TaskSurvey(task)
                    survey.add(check_label(raw, task, raw.shape[:2], paths[0], info['img_path']), raw, reader)
                    merge_surveys(surveys, {name: survey})
            except ValueError:  # training names the file when it gets there
                continue
    return surveys
