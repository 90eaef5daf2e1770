"""PASCAL-Context in the layout of its multi-task archive."""

from mlore_mm.datasets.multi_task_dataset import MultiTaskDataset
from mlore_mm.registry import DATASETS

_CONTEXT = dict(dir='pascal-context/trainval', suffix='.mat')


@DATASETS.register_module()
class PASCALContextDataset(MultiTaskDataset):
    """PASCAL-Context: 4,998 training and 5,105 validation images in the folder ``PASCALContext``.

    ``JPEGImages/*.jpg``, ``semseg/VOC12/*.png`` or else ``semseg/pascal-context/*.png``, ``human_parts/*.mat``,
    ``sal_distill/*.png``, ``normals_distill/*.png``, ``pascal-context/trainval/*.mat`` (edges, and which normals
    count), and the splits ``ImageSets/Context/train.txt`` and ``val.txt``.

    What ``tools/dataset_converters/bake_pascal_context.py`` has written to ``baked/`` is preferred; the labels are the
    same and come faster. Metrics with a ground truth of their own keep reading the original file.
    """

    IMG_DIR = 'JPEGImages'
    LABELS = dict(
        semseg=[
            dict(type='IdMapReader', dir='semseg/VOC12'),
            dict(type='IdMapReader', dir='semseg/pascal-context'),
        ],
        human_parts=[
            dict(type='IdMapReader', dir='baked/human_parts'),
            dict(type='HumanPartsReader', dir='human_parts'),
        ],
        sal=dict(type='MaskReader', dir='sal_distill', soft=True),
        normals=[
            dict(type='VectorReader', dir='baked/normals'),
            dict(type='ContextNormalsReader', dir='normals_distill', context_dir=_CONTEXT['dir']),
        ],
        edge=[
            dict(type='MaskReader', dir='baked/edge', metric_dir=_CONTEXT['dir'], metric_suffix=_CONTEXT['suffix']),
            dict(type='ContextEdgeReader', **_CONTEXT),
        ],
    )

    def __init__(self, *args, missing_labels: str = 'raise', **kwargs) -> None:
        super().__init__(*args, missing_labels=missing_labels, **kwargs)
