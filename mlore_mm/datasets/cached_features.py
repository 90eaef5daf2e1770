"""Samples whose image an encoder has seen before: its features and the labels of the same augmentation, from a disk."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from mmengine.structures import PixelData
from torch import Tensor

from mlore_mm.datasets.wrappers import SeededDataset
from mlore_mm.registry import DATASETS
from mlore_mm.structures import MultiTaskDataSample
from mlore_mm.tasks import leaf_datasets
from mlore_mm.utils.array_records import compact, expand, pack, unpack
from mlore_mm.utils.feature_store import FeatureStore, FeatureStoreError, as_json, differences, refusal
from mlore_mm.utils.seeding import SeededIndex

# Of a task's definition, what says nothing about how its labels are read and transformed.
_AFTER_LABELS = ('loss', 'loss_weight', 'metric', 'headline', 'higher_is_better', 'unit', 'classes', 'palette')


@DATASETS.register_module()
class CachedFeaturesDataset(SeededDataset):
    """A data set of which a frozen encoder's features are taken from a store instead of its images.

    A sample has the labels and the meta information that the pipeline gave together with the stored image, a
    placeholder of the image's shape as ``inputs``, and ``features``, a map (C, h, w) per level. Which of the stored
    augmentations comes follows from the seed of the sample's index, so a training that is resumed sees the same ones.

    ``feature_cache=dict(path=...)`` in a config puts it around the data sets.

    Args:
        dataset: Config of the data set.
        path: Folder of the store, with a folder for each part of the data.
        splits: Names of these folders, the first that fits is taken.
        augmentations: Use only so many of the stored ones.
        required: Whether a store that does not fit is an error; otherwise the data set is used as it is.

    Raises:
        FeatureStoreError: No store fits, saying what differs; it is not full; or it has fewer augmentations.
        ValueError: A number of augmentations below 1.
    """

    def __init__(
        self,
        dataset: dict,
        path: str,
        splits: Sequence[str] = ('train',),
        augmentations: int | None = None,
        required: bool = True,
    ) -> None:
        super().__init__(DATASETS.build(dataset))
        self.dataset.full_init()
        self.store = self._find(dataset, Path(path), splits, required)
        if self.store is None:
            return
        available = self.store.augmentations
        self.augmentations = available if augmentations is None else augmentations
        if self.augmentations < 1:
            raise ValueError(f'feature_cache.augmentations is a number from 1 on or None, but got {augmentations!r}.')
        if self.augmentations > available:
            raise FeatureStoreError(
                f'feature_cache.augmentations={self.augmentations}, but the store {self.store.folder} has {available}. '
                f'tools/misc/cache_features.py --augmentations {self.augmentations} adds what is missing.'
            )
        self.store.check_complete()
        self.tasks = list(self.dataset.metainfo['tasks'])
        self.keys = sample_keys(self.dataset)

    def _find(self, config: dict, path: Path, splits: Sequence[str], required: bool) -> FeatureStore | None:
        problems, refused = {}, None
        for split in splits:
            try:
                store = FeatureStore(path / split)
            except FeatureStoreError as error:
                refused = refused or error
                continue
            problems[store.folder] = unlike(store, self.dataset, config)
            if not problems[store.folder]:
                return store
        reason = str(refused) if not problems else refusal(*next(iter(problems.items())))
        if required:
            raise FeatureStoreError(reason)
        print_log(f'No stored features fit this data, so the encoder runs: {reason}', 'current')
        return None

    def __getitem__(self, index: int):
        if self.store is None:
            return super().__getitem__(index)
        if isinstance(index, SeededIndex):
            augmentation = index.seed % self.augmentations
        else:
            augmentation = int(torch.randint(self.augmentations, ())) if self.augmentations > 1 else 0
        index = int(index) % len(self)
        data = unpack_sample(self.store.read(augmentation, self.store.rows[self.keys[index]]), self.tasks)
        info, sample = self.dataset.get_data_info(index), data['data_samples']
        paths = {key: info[key] for key in ('img_path', 'label_paths') if key in sample and key in info}
        sample.set_metainfo(paths)  # the data may have moved since
        return data


def pack_sample(data: dict, levels: Sequence[Tensor]) -> bytes:
    """A sample of a pipeline and the levels (C, h, w) that the encoder made of its image, as a record."""
    sample, arrays = data['data_samples'], {}
    for name, target in sample.gt.items():
        arrays.update(compact(f'gt {name}', target.numpy()))
    arrays.update({f'level {i}': level.numpy() for i, level in enumerate(levels)})
    meta = {key: value for key, value in sample.metainfo.items() if key not in ('batch_input_shape', 'own_shape')}
    return pack(arrays, dict(meta=meta, image=data['inputs'].shape))


def unpack_sample(record: np.ndarray, tasks: Sequence[str]) -> dict[str, Any]:
    """What a pipeline gives, with labels of the named tasks and ``features``."""
    arrays, values = unpack(record)
    sample = MultiTaskDataSample(metainfo=values['meta'])
    sample.gt = PixelData(**{name: torch.from_numpy(expand(f'gt {name}', arrays)) for name in tasks})
    count = sum(name.startswith('level ') for name in arrays)
    features = [torch.from_numpy(np.array(arrays[f'level {i}'])) for i in range(count)]
    placeholder = torch.zeros((), dtype=torch.uint8).expand(values['image'])
    return dict(inputs=placeholder, data_samples=sample, features=features)


# ---- what made a store -----------------------------------------------------------------------------------------
def data_recipe(dataset, config: Mapping) -> dict[str, Any]:
    """What the samples follow from: the pipeline, and per task its definition, its readers and its files."""
    tasks, files = dataset.metainfo['tasks'], _file_sizes(dataset)
    leaves = list(leaf_datasets(dict(dataset=config)))
    readers = [leaf.get('labels') or {} for leaf in leaves]
    return as_json(
        dict(
            pipeline=[leaf.get('pipeline') for leaf in leaves],
            tasks={
                name: dict(
                    definition={key: value for key, value in task.items() if key not in _AFTER_LABELS},
                    readers=[reader.get(name) for reader in readers],
                )
                for name, task in tasks.items()
            },
            files=files,
        )
    )


def unlike(store: FeatureStore, dataset, config: Mapping) -> list[str]:
    """What of a data set differs from what the store was made of; its samples and tasks may be some of the store's."""
    wanted = data_recipe(dataset, config)
    stored = {key: store.recipe.get(key) or {} for key in wanted}
    problems = differences(stored['pipeline'], wanted['pipeline'], 'pipeline')
    for name, task in wanted['tasks'].items():
        if name not in stored['tasks']:
            problems.append(f'tasks: {name} is not in the store, which has labels of {list(stored["tasks"])}')
        else:
            problems += differences(stored['tasks'][name], task, f'tasks.{name}')
    lost = [key for key in wanted['files'] if key not in stored['files']]
    if lost:
        problems.append(f'samples: {len(lost)} of {len(wanted["files"])} are not in the store, such as {lost[0]}')
    for key, sizes in wanted['files'].items():
        known = stored['files'].get(key, sizes)
        changed = [name for name, size in sizes.items() if known.get(name, size) != size]
        if changed:
            problems.append(f'files: {", ".join(changed)} of sample {key} have changed since the store was filled')
            break
    return problems


def sample_keys(dataset) -> list[str]:
    """A name for every sample of a data set; what comes twice is numbered."""
    seen: Counter[str] = Counter()
    keys = []
    for index in range(len(dataset)):
        name = str(dataset.get_data_info(index)['sample_id'])
        seen[name] += 1
        keys.append(name if seen[name] == 1 else f'{name}#{seen[name]}')
    return keys


def _file_sizes(dataset) -> dict[str, dict[str, list[int]]]:
    """Bytes of the files of every sample, of the image under 'image' and of labels under their task."""
    sizes = {}
    for index, key in enumerate(sample_keys(dataset)):
        info = dataset.get_data_info(index)
        files = {'image': [info['img_path']]}
        for name, found in info.get('label_files', {}).items():
            files[name] = [] if found is None else list(found[1])
        sizes[key] = {name: [os.path.getsize(path) for path in paths] for name, paths in files.items()}
    return sizes
