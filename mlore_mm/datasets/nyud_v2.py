"""NYUD-v2 in the layout of its multi-task archive."""

from mlore_mm.datasets.multi_task_dataset import MultiTaskDataset
from mlore_mm.registry import DATASETS


@DATASETS.register_module()
class NYUDv2Dataset(MultiTaskDataset):
    """NYUD-v2: 795 training and 654 test images, 425x560, of rooms, in the folder ``NYUDv2``.

    ``images/*.png``, ``segmentation/*.png`` (0 unlabelled, 1 to 40), ``depth/*.npy`` (metres, 0 no reading),
    ``normals/*.png``, ``edge/*.png``, and the splits ``gt_sets/train.txt`` and ``gt_sets/val.txt``.
    """

    IMG_SUFFIX = '.png'
    LABELS = dict(
        semseg=dict(type='IdMapReader', dir='segmentation', offset=-1, ignore=(0, 255)),
        depth=dict(type='NpyReader', dir='depth'),
        normals=dict(type='VectorReader', dir='normals'),
        edge=dict(type='ScaledReader', dir='edge', divisor=255, bits=8),
    )

    def __init__(self, *args, missing_labels: str = 'raise', **kwargs) -> None:
        super().__init__(*args, missing_labels=missing_labels, **kwargs)


@DATASETS.register_module()
class NYUDMTDataset(NYUDv2Dataset):
    """NYUD-v2 in the archive of benchmark family A, the folder ``NYUD_MT``: the same images and folders.

    ``images/*.jpg``, ``segmentation/*.png`` (0 unlabelled, 1 to 40), ``depth/*.npy`` (metres, 0 no reading),
    ``normals/*.npy`` (H, W, 3), ``edge/*.npy`` (0 and 1), and the splits ``gt_sets/train.txt`` and ``gt_sets/val.txt``.
    Files of :class:`NYUDv2Dataset` are taken where these are not there.
    """

    IMG_SUFFIX = ('.jpg', '.png')
    LABELS = dict(
        NYUDv2Dataset.LABELS,
        normals=[dict(type='NpyReader', dir='normals'), NYUDv2Dataset.LABELS['normals']],
        edge=[dict(type='NpyReader', dir='edge'), NYUDv2Dataset.LABELS['edge']],
    )
