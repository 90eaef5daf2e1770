"""Wrappers around data sets that keep the seed of a sample's augmentation."""

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.dataset import ClassBalancedDataset as _ClassBalancedDataset
from torch.utils.data import Dataset

from mlore_mm.datasets.transforms.loading import check_label, read_label
from mlore_mm.registry import DATASETS
from mlore_mm.tasks import Task
from mlore_mm.tasks.class_map import ClassMap
from mlore_mm.utils.seeding import SeededIndex, seed_all


class SeededDataset(Dataset):
    """Seeds the generators before a sample is fetched, whatever stands between the sampler and the data set.

    Wrappers compute other indices, by arithmetic, tables or chance, and may take several samples for one; inside,
    everything that they draw follows from the seed. In all else it is the data set that it wraps.
    """

    def __init__(self, dataset) -> None:
        self.dataset = dataset

    def __getitem__(self, index: int):
        if not isinstance(index, SeededIndex):
            return self.dataset[index]
        seed_all(index.seed)
        return self.dataset[int(index)]

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str):
        if name.startswith('__') or name == 'dataset':  # while it is unpickled in a loader's worker
            raise AttributeError(name)
        return getattr(self.dataset, name)


@DATASETS.register_module()
class ClassBalancedDataset(_ClassBalancedDataset):
    """mmengine's, by the classes of a task: images with rare classes come more often.

    All labels of the task are read once, when it is built.

    Args:
        task: Which task's classes; by default the first task of class ids.
        options: As of mmengine's: ``dataset``, ``oversample_thr``, ``lazy_init``.

    Raises:
        ValueError: The data set has no such task, or a label cannot be read.
    """

    def __init__(self, *args, task: str | None = None, **options) -> None:
        self.task = task
        super().__init__(*args, **options)

    def full_init(self) -> None:
        if not self._fully_initialized:
            self.dataset.full_init()
            if getattr(type(self.dataset), 'get_cat_ids', None) in (None, BaseDataset.get_cat_ids):
                self.dataset = _WithClasses(self.dataset, self.task)
        super().full_init()

    def __getitem__(self, index: int):
        if isinstance(index, SeededIndex):
            return self.dataset[SeededIndex(self.repeat_indices[index], index.seed)]
        return super().__getitem__(index)


class _WithClasses(SeededDataset):
    """A data set with the method that mmengine's wrapper asks for."""

    def __init__(self, dataset, task: str | None) -> None:
        super().__init__(dataset)
        self.name, self.task = _choose(dataset, task)
        self._ids: dict[int, list[int]] = {}

    def __getitem__(self, index: int):
        return self.dataset[index]

    def get_cat_ids(self, index: int) -> list[int]:
        if index not in self._ids:
            self._ids[index] = self._read(index)
        return self._ids[index]

    def _read(self, index: int) -> list[int]:
        info = self.dataset.get_data_info(index)
        found = info['label_files'].get(self.name)
        if found is None:
            return []
        reader, paths = found
        target = read_label(reader, paths)
        if target is None:
            return []
        target = check_label(target, self.task, target.shape[-2:], paths[0], info['img_path'])
        return [int(value) for value in np.unique(target) if value != self.task.ignore_value]


def _choose(dataset, name: str | None) -> tuple[str, Task]:
    tasks = getattr(dataset, 'tasks', {})
    named = {key: task for key, task in tasks.items() if isinstance(task, ClassMap)}
    if name is None and named:
        name = next(iter(named))
    if name not in named:
        raise ValueError(
            f'ClassBalancedDataset balances the classes of a task of class ids, but got task={name!r}; '
            f'{type(dataset).__name__} has {list(named) or "none"}. Wrap the data set itself in it, and put '
            f'RepeatDataset and ConcatDataset around.'
        )
    return name, named[name]
