"""Images with labels for any subset of tasks, in any folder layout."""

import logging
import os
from collections.abc import Mapping, Sequence

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from mlore_mm.datasets.label_readers import LabelReader
from mlore_mm.datasets.sample_list import Folders, list_folder, name_some, read_split, require_folder
from mlore_mm.registry import DATASETS, LABEL_READERS
from mlore_mm.tasks import TaskSet
from mlore_mm.utils.accepted_keys import closest
from mlore_mm.utils.seeding import SeededIndex, seed_all

_ADVICE = 'Check `data_root` and the folder names in the config.'


@DATASETS.register_module()
class MultiTaskDataset(BaseDataset):
    """One image and a label map per task.

    The image of a sample is ``<data_root>/<data_prefix['img']>/<sample_id><img_suffix>``; where the label of each task
    lies and how it is read is said in ``labels``::

        dict(
            type='MultiTaskDataset',
            data_root='data/mine',
            ann_file='splits/train.txt',
            data_prefix=dict(img='photos'),
            img_suffix='.jpg',
            labels=dict(
                semseg=dict(type='IdMapReader', dir='labels', offset=-1, ignore=(0,)),
                depth=dict(type='NpyReader', dir='depth')))

    A task of the model that ``labels`` does not mention has no labels here: its target is full of the ignore value.

    Args:
        data_root: Folder that the other paths are relative to.
        ann_file: Split file with one sample id a line. Without one, every image in the folder is a sample.
        metainfo: ``metainfo['tasks']`` holds the task definitions, name to config. ``bind_tasks`` writes it.
        data_prefix: ``img`` is the folder of the images.
        img_suffix: What follows the sample id in the name of an image; several, as ``('.jpg', '.png')``, to take the
            first that exists.
        labels: Config of the label reader of each task; a list of them to take the first whose file exists; None for
            a task without labels. An entry without ``type`` changes options of this class's default entry.
        missing_labels: 'ignore' takes an image without a label file as unlabelled for that task; 'raise' does not.
        on_error: What happens to a sample that cannot be read. 'raise' stops. 'skip' takes the next sample of the list
            instead and logs a warning with the count so far; in training only, because an evaluation without some
            images gives another number.
        kwargs: Everything else of :class:`mmengine.dataset.BaseDataset`: ``pipeline``, ``test_mode``, ``indices``,
            ``serialize_data``, ``lazy_init``, ``max_refetch``.

    Raises:
        ValueError: Naming the file or folder that is missing, the empty split, or the option that is wrong.
    """

    IMG_DIR = 'images'
    IMG_SUFFIX: str | Sequence[str] = '.jpg'
    LABELS: Mapping = {}

    config_keys = dict(data_prefix=('img',), missing_labels={'ignore', 'raise'}, on_error={'raise', 'skip'})

    def __init__(
        self,
        data_root: str,
        ann_file: str = '',
        metainfo: Mapping | None = None,
        data_prefix: Mapping | None = None,
        img_suffix: str | Sequence[str] | None = None,
        labels: Mapping | None = None,
        missing_labels: str = 'ignore',
        on_error: str = 'raise',
        **kwargs,
    ) -> None:
        self._check_options(missing_labels, on_error, kwargs.get('test_mode', False))
        if not (metainfo or {}).get('tasks'):
            raise ValueError(
                f"{type(self).__name__} needs metainfo['tasks'], the task definitions. Call bind_tasks(cfg), as "
                f"runner_type='mlore_mm.MultiTaskRunner' does, or give metainfo=dict(tasks=...)."
            )
        self._check_metainfo(metainfo)
        metainfo = Config(dict(metainfo=metainfo)).to_dict()['metainfo']  # plain, as it goes into checkpoints
        self.tasks = TaskSet(metainfo['tasks'])
        self.img_suffixes = _as_tuple(img_suffix or self.IMG_SUFFIX)
        self.readers = {name: _build_readers(config) for name, config in self._label_configs(labels or {}).items()}
        self._warn_of_unlabelled(labels or {}, str(data_root))
        self.missing_labels, self.on_error = missing_labels, on_error
        self.num_skipped = 0
        super().__init__(
            ann_file=ann_file,
            metainfo=metainfo,
            data_root=str(data_root),
            data_prefix={'img': self.IMG_DIR, **(data_prefix or {})},
            **kwargs,
        )

    @staticmethod
    def _check_options(missing_labels: str, on_error: str, test_mode: bool) -> None:
        if missing_labels not in ('ignore', 'raise'):
            raise ValueError(f"missing_labels has to be 'ignore' or 'raise', but is {missing_labels!r}.")
        if on_error not in ('raise', 'skip'):
            raise ValueError(f"on_error has to be 'raise' or 'skip', but is {on_error!r}.")
        if on_error == 'skip' and test_mode:
            raise ValueError("on_error='skip' is for training; without some images an evaluation gives another number.")

    @staticmethod
    def _check_metainfo(metainfo: Mapping) -> None:
        """What data sets of mmsegmentation say there belongs to a task here, and would do nothing."""
        for key in metainfo:
            meant = key if key in ('classes', 'palette') else closest(key, ('classes', 'palette', 'tasks'), 0.8)
            if meant and key != 'tasks':
                raise ValueError(
                    f'metainfo of a data set has {key!r}, which nothing reads: `classes` and `palette` belong to a '
                    f"task, as in tasks = dict(semseg=dict(classes=('wall', ...)))."
                )

    @classmethod
    def complete_config(cls, config: Mapping) -> dict:
        """Settings of this data set with the defaults of the class in ``labels``, as the check of configs sees them."""
        labels = config.get('labels')
        if not isinstance(labels, Mapping):
            return dict(config)
        filled = {name: cls._laid_over(name, entry) for name, entry in labels.items()}
        return {**config, 'labels': filled}

    @classmethod
    def _laid_over(cls, name: str, entry):
        """An entry of ``labels`` without ``type`` changes options of the class's own."""
        default = cls.LABELS.get(name)
        if isinstance(entry, Mapping) and 'type' not in entry and isinstance(default, Mapping):
            return {**default, **entry}
        return entry

    def _label_configs(self, labels: Mapping) -> dict[str, list[dict]]:
        """Configs of the readers of every task in use, defaults of the class and ``labels`` put together."""
        configs = {}
        for name in self.tasks:
            entry = self._laid_over(name, labels.get(name, self.LABELS.get(name)))
            if isinstance(entry, Mapping) and 'type' not in entry:
                raise ValueError(f"The label reader of task '{name}' has no `type`: {dict(entry)}.")
            configs[name] = [] if entry is None else [entry] if isinstance(entry, Mapping) else list(entry)
        return configs

    # ---- the list of samples -----------------------------------------------------------------------------------
    def load_data_list(self) -> list[dict]:
        img_dir, name = self.data_prefix['img'], type(self).__name__
        require_folder(self.data_root, f'The root of {name},', _ADVICE)
        require_folder(img_dir, f'The image folder of {name},', _ADVICE)
        ids = self._read_ids(img_dir)
        folders = Folders()
        samples = [self._find(sample_id, img_dir, folders) for sample_id in ids]
        self._check_case(samples, img_dir, folders)
        self._check_found(samples, img_dir)
        return samples

    def _check_case(self, samples: list[dict], img_dir: str, folders: Folders) -> None:
        """A file ``f3.PNG`` beside those that end in ``.png`` is there, and would be taken as missing."""
        found = []
        for sample in samples:
            wanted = []
            if sample['img_path'] is None:
                wanted += [os.path.join(img_dir, sample['sample_id'] + suffix) for suffix in self.img_suffixes]
            for task, index in sample['reader_index'].items():
                if index is None:
                    readers = self.readers[task]
                    wanted += [path for reader in readers for path in reader.paths(self.data_root, sample['sample_id'])]
            found += [other for path in wanted if not folders.has(path) and (other := folders.other_case(path))]
        if found:
            raise ValueError(
                f'{len(found)} files of {type(self).__name__} differ from the names that are looked for in capital '
                f'letters only, so they would count as missing: {name_some(found)}. Rename them, or name both endings: '
                f"img_suffix=('.jpg', '.JPG') for images, a list of readers with one `suffix` each for labels."
            )

    def _warn_of_unlabelled(self, labels: Mapping, data_root: str) -> None:
        """An entry of None says that there are no labels; no entry at all is more often forgotten."""
        forgotten = [name for name in self.tasks if name not in labels and name not in self.LABELS]
        if forgotten:
            print_log(
                f'No labels are configured for {", ".join(forgotten)}, so nothing is learned or scored there from '
                f'{data_root}. Add an entry to `labels` of the data set. {forgotten[0]}=None says that it is meant, '
                f'as in a part of a ConcatDataset; if no part has such labels, leave the task out with `task_names`.',
                'current',
                logging.WARNING,
            )

    def _read_ids(self, img_dir: str) -> list[str]:
        if not self.ann_file:
            return list_folder(img_dir, self.img_suffixes)
        return read_split(self.ann_file)

    def _find(self, sample_id: str, img_dir: str, folders: Folders) -> dict:
        """Where the files of a sample are: path of its image, and the number of the reader that has a file per task.

        None stands for no image and no label. Label paths are put together later, to keep the list small.
        """
        images = [os.path.join(img_dir, sample_id + suffix) for suffix in self.img_suffixes]
        found = {}
        for task, readers in self.readers.items():
            has_files = (all(map(folders.has, reader.paths(self.data_root, sample_id))) for reader in readers)
            found[task] = next((index for index, has in enumerate(has_files) if has), None)
        image = next((path for path in images if folders.has(path)), None)
        return dict(sample_id=sample_id, img_path=image, reader_index=found)

    def _check_found(self, samples: list[dict], img_dir: str) -> None:
        lost = [sample['sample_id'] for sample in samples if sample['img_path'] is None]
        if lost:
            raise ValueError(
                f'{len(lost)} of {len(samples)} images of {self.ann_file} are not in {img_dir} with the suffix '
                f'{" or ".join(self.img_suffixes)}: {name_some(lost)}.'
            )
        for task, readers in self.readers.items():
            if not readers:
                continue
            lost = [sample['sample_id'] for sample in samples if sample['reader_index'][task] is None]
            wanted = ' or '.join(' + '.join(reader.paths(self.data_root, '*')) for reader in readers)
            if lost and self.missing_labels == 'raise':
                raise ValueError(
                    f"{len(lost)} of {len(samples)} labels of task '{task}' are missing, expected {wanted}: "
                    f"{name_some(lost)}. Leave the task out with `task_names`, or set missing_labels='ignore' there."
                )
            if len(lost) == len(samples):
                print_log(f"No image has a label for task '{task}'; looked for {wanted}.", 'current', logging.WARNING)

    # ---- one sample --------------------------------------------------------------------------------------------
    def get_data_info(self, idx: int) -> dict:
        """What the first transforms need: ``img_path``, ``sample_id``, ``tasks``, and two dicts by task.

        ``label_files`` holds (reader, paths), and ``label_paths`` the file that a metric with a ground truth of its own
        reads; None stands for no label.
        """
        info = super().get_data_info(idx)
        indices, sample_id = info.pop('reader_index'), info['sample_id']
        files, paths = {}, {}
        for task, index in indices.items():
            reader = None if index is None else self.readers[task][index]
            files[task] = None if reader is None else (reader, reader.paths(self.data_root, sample_id))
            paths[task] = None if reader is None else reader.metric_path(self.data_root, sample_id)
        return dict(info, tasks=self.tasks, label_files=files, label_paths=paths)

    def __getitem__(self, idx: int) -> dict:
        if not self._fully_initialized:
            self.full_init()
        if isinstance(idx, SeededIndex):
            seed_all(idx.seed)
        if self.on_error == 'raise':
            return self._prepare(idx)
        for attempt in range(min(len(self), self.max_refetch + 1)):
            try:
                return self._prepare((idx + attempt) % len(self))
            except ValueError as error:
                self.num_skipped += 1
                print_log(f'Skipped broken sample number {self.num_skipped}: {error}', 'current', logging.WARNING)
        raise ValueError(f'{attempt + 1} samples in a row from number {idx} on cannot be read; see the warnings above.')

    def _prepare(self, idx: int) -> dict:
        data = self.prepare_data(idx)
        if data is None:
            raise ValueError(f"The pipeline gave nothing for sample '{self.get_data_info(idx)['sample_id']}'.")
        return data


def _as_tuple(value) -> tuple:
    return (value,) if isinstance(value, str) else tuple(value)


def _build_readers(configs: Sequence[Mapping]) -> tuple[LabelReader, ...]:
    return tuple(LABEL_READERS.build(dict(config)) for config in configs)
