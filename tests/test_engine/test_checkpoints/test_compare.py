import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from mlore_mm.engine.checkpoints import differences
from mlore_mm.engine.checkpoints.compare import _compare


def save(path, weight=1.0, step=3, loss=0.5, time='noon', **more):
    history = HistoryBuffer()
    history.update(loss)
    torch.save(
        dict(
            state_dict=dict(a=torch.tensor([weight, float('nan')])),
            optimizer=dict(state={0: dict(step=torch.tensor(step))}, param_groups=[dict(lr=1e-3, params=[0])]),
            meta=dict(iter=step, time=time),
            message_hub=dict(log_scalars={'train/loss': history, 'train/time': history}, runtime_info={}),
            **more,
        ),
        path,
    )
    return path


def test_equal_bits_are_equal_whatever_the_clock_says(tmp_path):
    assert differences(save(tmp_path / 'a.pth'), save(tmp_path / 'b.pth', time='midnight')) == []


def test_every_difference_is_named(tmp_path):
    first = save(tmp_path / 'a.pth')
    other = save(tmp_path / 'b.pth', weight=1 + 2**-23, step=4, loss=0.6, extra=1)
    assert differences(first, other) == [
        'extra',
        'log.train/loss[0]',
        'meta.iter',
        'optimizer.state.0.step',
        'state_dict.a',
    ]


NAN = float('nan')


@pytest.mark.parametrize(
    ('a', 'b', 'wanted'),
    [
        (torch.ones(2), torch.ones(2).double(), ['']),
        (torch.ones(2), torch.ones(1, 2), ['']),
        (torch.tensor([0.0]), torch.tensor([-0.0]), ['']),  # the same number, and other bits
        (torch.eye(2)[:, 0], torch.tensor([1.0, 0.0]), []),
        (np.array([1, NAN]), np.array([1, NAN]), []),
        (np.array([1, NAN]), [1, 2], ['']),
        (1, 1.0, ['']),
        (1, True, ['']),
        ([1, 2], (1, 3), ['[1]']),
        ([1], [1, 2], ['']),
        (dict(a=dict(b=1, time=2)), dict(a=dict(b=2, time=3)), ['a.b']),
        ({'log.val': 1}, {}, ['log.val']),
        (dict(log={'val/mIoU': [1]}), dict(log={'val/mIoU': [2]}), []),
        (dict(best_ckpt='a', memory=1, cfg='', mmengine_version=1, c=3), dict(c=3), []),
        ({1: 0, 'a': 0}, {}, ['1', 'a']),
    ],
)
def test_what_is_the_same(a, b, wanted):
    assert list(_compare('', a, b)) == list(_compare('', b, a)) == wanted
