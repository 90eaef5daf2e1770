import pytest

from mlore_mm.engine import TaskOrderHook
from mlore_mm.engine.hooks import task_order_hook
from mlore_mm.tasks import TaskSet


def test_order_is_stored_and_checked():
    hook, checkpoint = TaskOrderHook(['semseg', 'depth']), dict(meta=dict(iter=3))
    hook.before_save_checkpoint(None, checkpoint)
    assert checkpoint['meta'] == dict(iter=3, tasks=['semseg', 'depth'])
    hook.after_load_checkpoint(None, checkpoint)
    with pytest.raises(ValueError, match=r"another order: it has \['semseg', 'depth'\].*\['depth', 'semseg'\]"):
        TaskOrderHook(['depth', 'semseg']).after_load_checkpoint(None, checkpoint)
    with pytest.raises(ValueError, match='other tasks.*eval_tasks'):
        TaskOrderHook(['semseg', 'depth', 'edge']).after_load_checkpoint(None, checkpoint)


def test_checkpoints_from_elsewhere_are_taken():
    checkpoint = dict(state_dict={})
    TaskOrderHook(['semseg']).after_load_checkpoint(None, checkpoint)
    assert checkpoint == dict(state_dict={})


def _stored(**settings) -> dict:
    return dict(meta=dict(tasks=['semseg', 'depth'], dataset_meta=dict(tasks=settings)))


def test_classes_and_units_of_the_checkpoint_are_compared(monkeypatch):
    told = []
    monkeypatch.setattr(task_order_hook, '_warn', told.append)
    semseg = dict(type='SemSeg', out_channels=3, classes=('wall', 'floor', 'bed'))
    hook = TaskOrderHook(TaskSet(dict(semseg=semseg, depth=dict(type='Depth'))))
    with pytest.raises(ValueError, match="classes of 'semseg' in another order: class 1 is 'bed' there and 'floor'"):
        hook.after_load_checkpoint(None, _stored(semseg=dict(classes=('wall', 'bed', 'floor'))))
    hook.after_load_checkpoint(None, _stored(semseg=dict(classes=semseg['classes']), depth=dict(unit='m')))
    assert told == []
    hook.after_load_checkpoint(None, _stored(semseg=dict(classes=('wall', 'door', 'bed')), depth=dict(unit='mm')))
    assert "other classes of 'semseg': class 1 is 'door' there" in told[0]
    assert "'depth' in 'mm', this config says 'm'" in told[1]
    for classes, message in (
        (('wall', 'floor'), "class 2 is 'missing' there and 'bed' here"),
        (('wall', 'floor', 'bed', 'lamp'), "class 3 is 'lamp' there and 'missing' here"),
    ):
        hook.after_load_checkpoint(None, _stored(semseg=dict(classes=classes)))
        assert message in told.pop()
