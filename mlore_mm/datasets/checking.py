"""Look at every file of a downloaded archive before training does."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from mlore_mm.datasets.label_readers import LabelReader
from mlore_mm.datasets.multi_task_dataset import MultiTaskDataset
from mlore_mm.datasets.nyud_v2 import NYUDv2Dataset
from mlore_mm.datasets.pascal_context import PASCALContextDataset
from mlore_mm.datasets.sample_list import read_split, require_folder
from mlore_mm.datasets.survey import Photo, TaskSurvey, survey_label
from mlore_mm.registry import LABEL_READERS
from mlore_mm.tasks import TaskSet


@dataclass(frozen=True)
class Archive:
    """What a published archive has to hold.

    Args:
        dataset: The class that reads it; its defaults say where files are.
        split_file: Path of a split file, with ``{}`` for its name.
        counts: Samples per published split.
        tasks: Name to task definition.
    """

    dataset: type[MultiTaskDataset]
    split_file: str
    counts: dict[str, int]
    tasks: TaskSet = field(repr=False)

    def readers(self) -> dict[str, list[LabelReader]]:
        readers = {}
        for task in self.tasks:
            configs = self.dataset.LABELS[task]
            configs = [configs] if isinstance(configs, dict) else configs
            readers[task] = [LABEL_READERS.build(dict(config)) for config in configs]
        return readers


ARCHIVES = dict(
    nyud=Archive(
        NYUDv2Dataset,
        'gt_sets/{}.txt',
        dict(train=795, val=654),
        TaskSet(
            dict(
                semseg=dict(type='SemSeg', out_channels=40),
                depth=dict(type='Depth'),
                normals=dict(type='SurfaceNormals'),
                edge=dict(type='Edge'),
            )
        ),
    ),
    pascal_context=Archive(
        PASCALContextDataset,
        'ImageSets/Context/{}.txt',
        dict(train=4998, val=5105),
        TaskSet(
            dict(
                semseg=dict(type='SemSeg', out_channels=21),
                human_parts=dict(type='HumanParts'),
                sal=dict(type='Saliency'),
                normals=dict(type='SurfaceNormals'),
                edge=dict(type='Edge'),
            )
        ),
    ),
)


def check_splits(
    root: str, archive: Archive, splits: Sequence[str], count: bool = True
) -> tuple[dict[str, list[str]], list[str]]:
    """The sample ids of every split that can be read, and problems: unreadable, of another length, overlapping.

    Args:
        count: Compare lengths with the published splits.
    """
    ids, problems = {}, []
    for split in splits:
        try:
            ids[split] = read_split(os.path.join(root, archive.split_file.format(split)))
        except ValueError as error:
            problems.append(str(error))
            continue
        expected = archive.counts.get(split) if count else None
        if expected is not None and len(ids[split]) != expected:
            problems.append(f"Split '{split}' lists {len(ids[split])} samples; the published one has {expected}.")
    owner = {}
    for split, names in ids.items():
        shared = [name for name in names if owner.setdefault(name, split) != split]
        if shared:
            problems.append(f"Split '{split}' shares {len(shared)} samples with another one, {shared[0]} for instance.")
    return ids, problems


def check_samples(root: str, archive: Archive, ids: Sequence[str], workers: int = 2) -> Iterator[list[str]]:
    """The problems of each sample, in the order of ``ids``; one message per file."""
    for problems, _ in inspect_samples(root, archive, ids, workers):
        yield problems


def inspect_samples(
    root: str, archive: Archive, ids: Sequence[str], workers: int = 2
) -> Iterator[tuple[list[str], dict[str, TaskSurvey]]]:
    """For each sample its problems, and what its labels hold, by task; in the order of ``ids``."""
    require_folder(root, 'The root', 'Give the folder of the extracted archive.')
    work = partial(inspect_sample, root, archive)
    if workers < 2:
        yield from map(work, ids)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(work, ids, chunksize=8)


def check_sample(root: str, archive: Archive, sample_id: str) -> list[str]:
    """Read the image and every label, baked ones included; what is wrong with each."""
    return inspect_sample(root, archive, sample_id)[0]


def inspect_sample(root: str, archive: Archive, sample_id: str) -> tuple[list[str], dict[str, TaskSurvey]]:
    """What is wrong with each file of a sample, and what the labels hold that training would take."""
    image = os.path.join(root, archive.dataset.IMG_DIR, sample_id + archive.dataset.IMG_SUFFIX)
    try:
        photo = Photo.read(image)
    except ValueError as error:
        return [str(error)], {}  # nothing to compare the labels with
    problems, surveys = [], {}
    for name, readers in archive.readers().items():
        present = [reader for reader in readers if all(map(os.path.exists, reader.paths(root, sample_id)))]
        if not present:
            wanted = ' or '.join(' + '.join(reader.paths(root, sample_id)) for reader in readers)
            problems.append(f"No label of task '{name}': expected {wanted}.")
        for reader in present:
            try:
                survey = survey_label(
                    archive.tasks[name], reader, reader.paths(root, sample_id), photo.size, image, photo
                )
                surveys.setdefault(name, survey)
            except ValueError as error:
                problems.append(str(error))
    return problems, surveys
