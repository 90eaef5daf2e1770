"""Fills a store with the features of a frozen encoder."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from torch import nn

from mlore_mm.datasets.cached_features import data_recipe, pack_sample, sample_keys
from mlore_mm.engine.checkpoints import check_pretrained_files, fill_model, read_checkpoint, weights_only
from mlore_mm.engine.feature_cache import WRAPPER, encoder_recipe
from mlore_mm.engine.folder_lock import FolderLock
from mlore_mm.models.encoding import encode
from mlore_mm.registry import DATASETS, MODELS
from mlore_mm.tasks import bind_tasks
from mlore_mm.utils.feature_store import FeatureStore
from mlore_mm.utils.progress import ProgressLine
from mlore_mm.utils.seeding import SeededIndex, derive_seed, seed_all

DTYPES = dict(float16=torch.float16, float32=torch.float32)
FLUSH = 32  # records that are written together


def cache_features(
    cfg: Config,
    out: str,
    *,
    splits: Sequence[str] = ('train', 'val'),
    augmentations: int = 1,
    seed: int = 0,
    dtype: str = 'float16',
    batch_size: int = 4,
) -> list[FeatureStore]:
    """Run the encoder of a config over its data, with labels of all its tasks, and keep what comes out.

    Args:
        cfg: A config as :func:`load_config` returns it; it is changed in place.
        out: Folder of the store. What is there already is kept and completed.
        splits: Of the data: 'train', 'val', 'test'.
        augmentations: Of each training image; others have one.
        seed: Augmentation k of sample i follows from it, k and i.
        dtype: 'float16' or 'float32' (twice the disk, and exact).
        batch_size: Images that the encoder sees at a time.

    Returns:
        The store of each split.

    Raises:
        FeatureStoreError: Something else made the store that is there.
        ValueError: The disk is too small, or features that 16 bits cannot hold.
    """
    cfg = _prepared(cfg)
    model = _build(cfg)
    recipe = dict(encoder=encoder_recipe(model, cfg.model.backbone), dtype=dtype, seed=seed)
    with FolderLock(out):
        opened = []
        for split in splits:
            config = _dataset_config(cfg, split)
            dataset = DATASETS.build(config)
            dataset.full_init()
            count = augmentations if split == 'train' else 1
            keys = sample_keys(dataset)
            made_of = {**recipe, **data_recipe(dataset, config)}
            store = FeatureStore.create(Path(out) / split, made_of, keys, count)
            if store.missing and store.augmentations > count:
                print(f'{store.folder} was begun with {store.augmentations} augmentations: all of them are completed.')
            opened.append((store, dataset))
        encode = _Encoding(model, DTYPES[dtype], seed, batch_size)
        encode.check_room(opened, out)
        for store, dataset in opened:
            encode.fill(store, dataset)
    return [store for store, _ in opened]


class _Encoding:
    """Runs the encoder over what a store lacks."""

    def __init__(self, model: nn.Module, dtype: torch.dtype, seed: int, batch_size: int) -> None:
        self.model, self.dtype, self.seed, self.batch_size = model, dtype, seed, batch_size

    def check_room(self, opened: Sequence, out: str) -> None:
        """Say how much disk the stores need, from the size of one record, before any is written."""
        needed = 0
        for store, dataset in opened:
            missing = store.missing
            if missing:
                ((_, record),) = self.records(dataset, missing[:1])
                needed += len(missing) * len(record)
                print(
                    f'{store.folder}: {len(missing)} of {store.index[..., 0].size} records are to be made, '
                    f'{len(record) / 1e6:.2f} MB each, {len(missing) * len(record) / 1e9:.2f} GB in all.'
                )
            else:
                print(f'{store.folder} is full: {store.index[..., 0].size} records, {store.end / 1e9:.2f} GB.')
        free = shutil.disk_usage(out).free
        if needed:
            print(f'{needed / 1e9:.2f} GB of disk are needed, {free / 1e9:.1f} GB are free in {out}.')
        if needed > free:
            raise ValueError(
                f'The store needs {needed / 1e9:.2f} GB more, but {free / 1e9:.2f} GB are free in {out}. Give another '
                'folder, fewer --augmentations, or fewer levels (out_indices of the encoder).'
            )

    def fill(self, store: FeatureStore, dataset) -> None:
        missing, total = store.missing, store.index[..., 0].size
        line, waiting = ProgressLine(f'{store.folder.name:<5}', 'records'), {}
        done = total - len(missing)
        for place, record in self.records(dataset, missing):
            waiting[place] = record
            done += 1
            if len(waiting) >= FLUSH or done == total:
                store.append(waiting)
                waiting = {}
            line(done, total)

    def records(self, dataset, places: Sequence[tuple[int, int]]) -> Iterator[tuple[tuple[int, int], bytes]]:
        """Records of (augmentation, row); batches hold images of one size."""
        for start in range(0, len(places), self.batch_size):
            batch = list(places[start : start + self.batch_size])
            samples = [self._sample(dataset, k, row) for k, row in batch]
            if len({tuple(sample['inputs'].shape) for sample in samples}) > 1:
                groups = [[pair] for pair in zip(batch, samples, strict=True)]
            else:
                groups = [list(zip(batch, samples, strict=True))]
            for group in groups:
                levels = self._levels([sample for _, sample in group])
                for i, (place, sample) in enumerate(group):
                    yield place, pack_sample(sample, [level[i] for level in levels])

    def _sample(self, dataset, augmentation: int, row: int) -> dict:
        seed = derive_seed(self.seed, 3, augmentation, row)
        seed_all(seed)
        return dataset[SeededIndex(row, seed)]

    @torch.no_grad()
    def _levels(self, samples: list[dict]) -> list[torch.Tensor]:
        images = [dict(inputs=sample['inputs'], data_samples=sample['data_samples'].clone()) for sample in samples]
        inputs = self.model.data_preprocessor(pseudo_collate(images))['inputs']
        features = encode(self.model.backbone, inputs, (), (), folded=False)
        levels = [level.to('cpu', self.dtype) for level in features.shared]
        for number, level in enumerate(levels):
            if not level.isfinite().all():
                name = samples[0]['data_samples'].get('sample_id')
                raise ValueError(
                    f'Level {number} of the features has values that {self.dtype} cannot hold, in the batch of sample '
                    f'{name}: take --dtype float32, or look at the encoder.'
                )
        return levels


def _prepared(cfg: Config) -> Config:
    init_default_scope(cfg.get('default_scope', 'mlore_mm'))
    cfg.task_names = None  # one store serves any choice of tasks
    bind_tasks(cfg)
    if not cfg.model.get('frozen_backbone') or cfg.model.get('adapter'):
        raise ValueError(
            'Stored features are of use for a frozen encoder only: set model.frozen_backbone=True in the config, or '
            '--cfg-options model.frozen_backbone=True, and leave model.adapter out.'
        )
    return cfg


def _build(cfg: Config) -> nn.Module:
    model = MODELS.build(cfg.model)
    check_pretrained_files(model)
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel('WARNING')  # mmengine would list every weight
    try:
        with weights_only('A file of pre-trained weights (init_cfg)'):
            if hasattr(model.backbone, 'init_weights'):
                model.backbone.init_weights()
    finally:
        logger.setLevel(level)
    if cfg.get('load_from'):
        fill_model(model, read_checkpoint(cfg.load_from)['state_dict'], str(cfg.load_from), None)
    return model.to(get_device()).eval()


def _dataset_config(cfg: Config, split: str) -> dict:
    loader = cfg.get(f'{split}_dataloader')
    if loader is None:
        raise ValueError(f'The config has no {split}_dataloader, so there is nothing to store for --splits {split}.')
    dataset = loader['dataset']
    return dataset['dataset'] if dataset.get('type') == WRAPPER else dataset
