"""A frozen encoder stays out of checkpoints and comes back; trained, tested, resumed through the runner."""

import pytest
import torch
from mmengine.config import Config

from mlore_mm.apis import init_model
from mlore_mm.engine import MultiTaskRunner
from mlore_mm.engine.checkpoints import leave_out_frozen, put_back_frozen
from mlore_mm.engine.checkpoints.compare import differences
from mlore_mm.engine.optim_wrapper_constructor import describe_parameters
from tests.shared import REPO
from tests.systems import SYSTEMS

CONFIG = """
_base_ = ['{repo}/configs/_base_/schedules/adam_40k.py', '{repo}/configs/_base_/default_runtime.py']
custom_imports = dict(imports=['mlore_mm', 'tests.systems'], allow_failed_imports=False)
tasks = {tasks}
model = {model}
dataset = dict(type='SystemDataset', size={size})
train_dataloader = dict(batch_size=2, sampler=dict(type='ResumableSampler', shuffle=True), dataset=dataset)
val_dataloader, val_evaluator, val_cfg = None, None, None
test_dataloader, test_evaluator, test_cfg = None, None, None
train_cfg = dict(max_iters=4)
default_hooks = dict(checkpoint=dict(interval=2, max_keep_ckpts=2, save_best=None, save_trainable_only=True))
randomness = dict(seed=0)
"""


@pytest.fixture
def config(tmp_path):
    """The FGMoE-style toy, whose encoder starts from a file."""
    system = SYSTEMS['fgmoe']
    torch.save(dict(state_dict=system.build().backbone.state_dict()), tmp_path / 'encoder.pth')
    model = system.config()
    pretrained = dict(type='Pretrained', checkpoint=str(tmp_path / 'encoder.pth'))
    model['backbone'] = dict(model['backbone'], init_cfg=pretrained)
    tasks = model.pop('tasks')
    path = tmp_path / 'config.py'
    path.write_text(CONFIG.format(repo=REPO.as_posix(), tasks=tasks, model=model, size=system.size))
    return Config.fromfile(path)


def test_train_resume_and_load(config, tmp_path):
    MultiTaskRunner.from_cfg(Config(dict(config, work_dir=str(tmp_path / 'straight')))).train()
    saved = torch.load(tmp_path / 'straight' / 'iter_4.pth', weights_only=True)
    assert {name.split('.')[0] for name in saved['state_dict']} == {'decode_head'}

    (tmp_path / 'resumed').mkdir()
    (tmp_path / 'resumed' / 'iter_2.pth').write_bytes((tmp_path / 'straight' / 'iter_2.pth').read_bytes())
    resumed = dict(work_dir=str(tmp_path / 'resumed'), load_from=str(tmp_path / 'resumed/iter_2.pth'), resume=True)
    MultiTaskRunner.from_cfg(Config(dict(config, **resumed))).train()
    assert differences(tmp_path / 'straight/iter_4.pth', tmp_path / 'resumed/iter_4.pth') == []

    model = init_model(config, tmp_path / 'straight' / 'iter_4.pth')
    encoder = torch.load(tmp_path / 'encoder.pth', weights_only=True)['state_dict']
    assert all(torch.equal(model.backbone.state_dict()[name], value) for name, value in encoder.items())
    assert torch.equal(model.decode_head.aggregate.weight, saved['state_dict']['decode_head.aggregate.weight'])

    other = {name: value + 1 for name, value in encoder.items()}
    torch.save(dict(state_dict=other), tmp_path / 'encoder.pth')
    with pytest.raises(ValueError, match='trained on another encoder than the config loads'):
        init_model(config, tmp_path / 'straight' / 'iter_4.pth')
    del config.model.backbone['init_cfg']
    with pytest.raises(ValueError, match='without its frozen encoder .*names no weights'):
        init_model(config, tmp_path / 'straight' / 'iter_4.pth')


def test_complete_checkpoints_are_left_alone():
    checkpoint = dict(meta={}, state_dict={})
    put_back_frozen(checkpoint, torch.nn.Module(), 'file')
    assert checkpoint == dict(meta={}, state_dict={})


def test_trainable_and_frozen_parameters_are_told_apart():
    model = SYSTEMS['fgmoe'].build()
    frozen = sum(p.numel() for p in model.backbone.parameters())
    trainable = sum(p.numel() for p in model.decode_head.parameters())
    assert describe_parameters(model) == f'Parameters: {trainable:,} trainable, {frozen:,} frozen.'


class Frozen(torch.nn.Module):
    """An encoder of one layer whose magnitudes add up to 6."""

    def __init__(self, frozen=True) -> None:
        super().__init__()
        self.backbone, self.frozen_backbone = torch.nn.Linear(2, 1), frozen
        self.backbone.is_init = True
        self.backbone.register_buffer('count', torch.tensor(9))
        with torch.no_grad():
            self.backbone.weight.copy_(torch.tensor([[-1.0, 2.0]]))
            self.backbone.bias.fill_(3)


def whole() -> dict:
    names = ('backbone.weight', 'backbone.bias', 'decode_head.weight')
    weights = {name: torch.zeros(1) for name in names}
    return dict(state_dict=weights, ema_state_dict={'steps': 1, **{f'module.{name}': 0 for name in names}})


def test_a_frozen_encoder_is_left_out_and_put_back_in_the_averages_too():
    checkpoint = whole()
    leave_out_frozen(checkpoint, Frozen())
    assert list(checkpoint['state_dict']) == ['decode_head.weight']
    assert list(checkpoint['ema_state_dict']) == ['steps', 'module.decode_head.weight']
    assert checkpoint['meta'] == dict(left_out_encoder=6.0)
    put_back_frozen(checkpoint, Frozen(), 'x.pth')
    weights, averages = checkpoint['state_dict'], checkpoint['ema_state_dict']
    assert weights['backbone.weight'].tolist() == averages['module.backbone.weight'].tolist() == [[-1, 2]]
    assert {'backbone.bias', 'backbone.count', 'decode_head.weight'} < set(weights)
    for digest, same in ((6.00005, True), (6.0001, False), (-6.0, False)):
        other = dict(state_dict={}, meta=dict(left_out_encoder=digest))
        if same:
            put_back_frozen(other, Frozen(), 'x.pth')
            continue
        with pytest.raises(ValueError, match=f'x.pth was trained on another encoder .*add up to {digest:g} .* to 6'):
            put_back_frozen(other, Frozen(), 'x.pth')


def test_an_encoder_that_is_trained_stays():
    checkpoint = whole()
    leave_out_frozen(checkpoint, Frozen(frozen=False))
    assert checkpoint == whole()
    assert 'meta' not in checkpoint
