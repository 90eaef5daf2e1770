import torch
from mmengine.logging import HistoryBuffer

from mlore_mm.engine.checkpoints import differences


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
