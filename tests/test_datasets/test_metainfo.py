import pytest
from mmengine.config import ConfigDict

from mlore_mm.datasets import MultiTaskDataset


def test_metainfo_is_plain_and_in_order():
    # mmengine's own dict type would keep torch.load(weights_only=True) from reading checkpoints.
    tasks = dict(semseg=dict(type='SemSeg', loss=dict(type='X')), depth=dict(type='Depth'))
    dataset = MultiTaskDataset('nowhere', metainfo=ConfigDict(tasks=tasks), lazy_init=True)
    kept = dataset.metainfo['tasks']
    assert kept == tasks
    assert list(kept) == ['semseg', 'depth']
    assert {type(kept), type(kept['semseg']), type(kept['semseg']['loss'])} == {dict}


@pytest.mark.parametrize('key', ['classes', 'palette', 'clases'])
def test_classes_belong_to_a_task(key):
    with pytest.raises(ValueError, match=f"metainfo of a data set has '{key}', which nothing reads"):
        MultiTaskDataset('nowhere', metainfo={'tasks': dict(depth=dict(type='Depth')), key: ()}, lazy_init=True)
