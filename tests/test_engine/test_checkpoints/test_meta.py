import pytest
import torch

from mlore_mm.engine.checkpoints import read_checkpoint
from mlore_mm.engine.checkpoints.meta import _short, check_meta
from tests.test_engine.test_safe_checkpoint_hook import build

WHOLE = dict(
    meta=dict(iter=2, epoch=0),
    message_hub=dict(log_scalars={}, runtime_info={}, resumed_keys={}),
    optimizer={},
    state_dict={},
)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(meta=[1, 2]), "x.pth has a list as 'meta'"),
        (dict(meta=dict(tasks=5)), r"meta\['tasks'\] = 5"),
        (dict(meta=dict(tasks=[5])), r"meta\['tasks'\] = \[5\]"),
        (dict(meta=dict(iter='2', epoch=0)), r"meta\['iter'\] = '2'"),
        (dict(meta=dict(iter=-1, epoch=0)), r"meta\['iter'\] = -1"),
        (dict(meta=dict(iter=True, epoch=0)), r"meta\['iter'\] = True"),
        (dict(meta=dict(iter=1, epoch=0, data_seed='x' * 500)), r"'data_seed'\] = 'x+\.\.\."),
        (dict(meta=None), r"x.pth lacks meta\['iter'\], meta\['epoch'\]: .*load_from"),
        (dict(message_hub=5), "'message_hub' that is not a dict"),
        (dict(message_hub=dict(log_scalars={})), "'message_hub' that is not a dict"),
    ],
)
def test_odd_forms_are_named_with_the_file(change, message):
    with pytest.raises(ValueError, match=message):
        check_meta({**WHOLE, **change}, 'x.pth', resuming=True)


def test_weights_without_a_state_cannot_be_resumed():
    with pytest.raises(ValueError, match="lacks 'optimizer'"):
        check_meta({key: value for key, value in WHOLE.items() if key != 'optimizer'}, 'x.pth', resuming=True)
    checkpoint = dict(state_dict={}, meta=None)
    check_meta(checkpoint, 'x.pth')
    assert checkpoint['meta'] == {}
    checkpoint['meta'] = dict(config='run()', tasks=('a', 'b'), iter=0, seed=None, cfg='text')
    check_meta(checkpoint, 'x.pth')
    assert checkpoint['meta'] == dict(tasks=('a', 'b'), iter=0, seed=None, cfg='text')
    check_meta(dict(WHOLE, meta=dict(iter=0, epoch=0)), 'x.pth', resuming=True)


def test_long_values_are_shortened():
    assert _short('x' * 78) == repr('x' * 78)
    assert _short('x' * 79) == "'" + 'x' * 79 + '...'


@pytest.mark.parametrize('how', ['resume', 'load_from', 'test'])
def test_the_config_in_a_checkpoint_is_not_run(tmp_path, how):
    build(tmp_path, **{'train_cfg.max_iters': 2}).train()
    source, trap = tmp_path / 'work' / 'iter_2.pth', tmp_path / 'trap'
    checkpoint = read_checkpoint(source)
    checkpoint['meta']['config'] = f'import pathlib\npathlib.Path({str(trap)!r}).touch()\ngpu_ids = [0]\n'
    torch.save(checkpoint, source)
    runner = build(tmp_path, load_from=str(source), resume=how == 'resume')
    runner.test() if how == 'test' else runner.train()
    assert not trap.exists()
