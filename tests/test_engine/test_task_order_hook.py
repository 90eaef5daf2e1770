import pytest

from mlore_mm.engine import TaskOrderHook


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
    TaskOrderHook(['semseg']).after_load_checkpoint(None, dict(state_dict={}))
