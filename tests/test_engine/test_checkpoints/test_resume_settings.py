"""Rates after a resume: what the checkpoint and the config say, and which is used."""

import warnings
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import ConstantLR, MultiStepLR, PolyLR

from mlore_mm.engine.checkpoints import read_checkpoint
from mlore_mm.engine.checkpoints.compare import differences
from mlore_mm.engine.checkpoints.resume_settings import (
    batch_difference,
    batch_of,
    kinds_of,
    optimizer_kind,
    settle_settings,
)
from mlore_mm.registry import RUNNERS
from tests.test_engine.test_runner import load

SHORT = {'train_cfg.max_iters': 4, 'param_scheduler.0.end': 5, 'optim_wrapper.optimizer.lr': 1e-3}
LONG = {'train_cfg.max_iters': 8, 'param_scheduler.0.end': 9, 'optim_wrapper.optimizer.lr': 1e-3}
QUIET = {'train_cfg.val_interval': 100, 'default_hooks.checkpoint.interval': 4, 'default_hooks.logger.interval': 1}


def train(folder, **options):
    runner = RUNNERS.build(load(folder, **QUIET, **options))
    runner.train()
    log = next((folder / 'work' / runner.timestamp).glob('*.log')).read_text()
    rates = runner.message_hub.get_scalar('train/lr').data[0]
    return [float(x) for x in rates], log, runner


def poly(step, end=8, rate=1e-3):
    return rate * (1 - step / end) ** 0.9


def test_a_longer_schedule_is_said_and_on_request_taken(tmp_path):
    train(tmp_path, **SHORT)
    path = str(tmp_path / 'work/iter_4.pth')
    rates, log, _ = train(tmp_path, load_from=path, resume=True, **LONG)
    assert rates[4:] == pytest.approx([0] * 4)
    assert 'param_scheduler[0] (PolyLR) end: 5 in the checkpoint, 9 in the config' in log
    assert "those of the checkpoint are in use (resume_settings='config' takes those of the config)" in log

    rates, log, _ = train(tmp_path, load_from=path, resume=True, resume_settings='config', **LONG)
    assert rates[4:] == pytest.approx([poly(i) for i in range(4, 8)], rel=1e-6)
    assert 'those of the config are in use' in log


def test_other_rates_and_decays(tmp_path):
    train(tmp_path, **SHORT)
    path = str(tmp_path / 'work/iter_4.pth')
    other = {**LONG, 'optim_wrapper.optimizer.lr': 3e-3, 'optim_wrapper.optimizer.weight_decay': 0.1}
    other['optim_wrapper.optimizer.betas'] = (0.8, 0.99)
    _, log, runner = train(tmp_path, load_from=path, resume=True, **other)
    for line in (
        'optimizer.lr: 0.001 in the checkpoint, 0.003 in the config',
        'optimizer.weight_decay: 1e-06 in the checkpoint, 0.1 in the config',
        'optimizer.betas: (0.9, 0.999) in the checkpoint, (0.8, 0.99) in the config',
    ):
        assert line in log
    assert runner.optim_wrapper.param_groups[0]['weight_decay'] == 1e-6
    rates, _, runner = train(tmp_path, load_from=path, resume=True, resume_settings='config', **other)
    assert runner.optim_wrapper.param_groups[0]['weight_decay'] == 0.1
    assert tuple(runner.optim_wrapper.param_groups[0]['betas']) == (0.8, 0.99)
    assert rates[4:] == pytest.approx([poly(i, rate=3e-3) for i in range(4, 8)], rel=1e-6)


def test_the_same_settings_are_not_mentioned_and_give_the_same_bits(tmp_path):
    runner = RUNNERS.build(load(tmp_path, work_dir=str(tmp_path / 'straight'), **QUIET, **LONG))
    runner.train()
    path = str(tmp_path / 'straight/iter_4.pth')
    for choice in ('checkpoint', 'config'):
        _, log, _ = train(tmp_path, load_from=path, resume=True, resume_settings=choice, **LONG)
        assert 'differ; those of' not in log
        assert differences(tmp_path / 'straight/iter_8.pth', tmp_path / 'work/iter_8.pth') == []


def test_several_schedulers_and_groups_of_parameters_go_to_where_the_config_would_be(tmp_path):
    """A warm-up by iterations before a decay by steps, and a head with another rate, against one straight run."""
    parts = dict(custom_keys={'heads.depth': dict(lr_mult=10)})
    schedule = [
        dict(type='LinearLR', start_factor=0.1, begin=0, end=3, by_epoch=False),
        dict(type='MultiStepLR', milestones=[5, 6], gamma=0.5, by_epoch=False),
    ]
    wanted = {'param_scheduler': schedule, 'optim_wrapper.paramwise_cfg': parts}
    wanted |= {'train_cfg.max_iters': 8, 'optim_wrapper.optimizer.lr': 1e-3}
    straight, _, _ = train(tmp_path, **wanted)
    flat = dict(wanted, param_scheduler=[dict(type='ConstantLR', factor=1.0, by_epoch=False)])
    flat['train_cfg.max_iters'] = 4
    train(tmp_path, **flat)
    path = str(tmp_path / 'work/iter_4.pth')
    rates, log, runner = train(tmp_path, load_from=path, resume=True, resume_settings='config', **wanted)
    assert rates[4:] == pytest.approx(straight[4:], rel=1e-6)
    assert 'param_scheduler: 1 in the checkpoint, 2 in the config' in log
    stored = read_checkpoint(tmp_path / 'work/iter_8.pth')['optimizer']['param_groups']
    assert {round(group['lr'] / stored[0]['lr']) for group in stored} == {1, 10}


def test_a_wrong_choice_is_named(tmp_path):
    train(tmp_path, **SHORT)
    with pytest.raises(ValueError, match="resume_settings is 'both'"):
        train(tmp_path, load_from=str(tmp_path / 'work/iter_4.pth'), resume=True, resume_settings='both', **LONG)


def test_statistics_of_another_kind_of_optimizer_are_refused():
    adam, sgd = (
        kind([torch.nn.Parameter(torch.zeros(2))], lr=1e-3).state_dict() for kind in (torch.optim.Adam, torch.optim.SGD)
    )
    for stored, own in ((adam, sgd), (sgd, adam)):
        checkpoint = dict(optimizer=stored, meta=dict(iter=1, epoch=0))
        with pytest.raises(ValueError, match='optimizer of another kind: .*(betas.*momentum|momentum.*betas)'):
            settle_settings(checkpoint, own['param_groups'], [], 'checkpoint')
    older = dict(adam, param_groups=[{k: v for k, v in adam['param_groups'][0].items() if k != 'fused'}])
    settle_settings(dict(optimizer=older, meta=dict(iter=1, epoch=0)), adam['param_groups'], [], 'checkpoint')


SCHEDULES = {
    'a class': [dict(type='CosineAnnealingLR', T_max=8, by_epoch=False)],
    'one more': [dict(type='LinearLR', start_factor=0.1, end=2, by_epoch=False), dict(type='PolyLR', by_epoch=False)],
}


@pytest.fixture(scope='module')
def stopped(tmp_path_factory):
    """A checkpoint of Adam and PolyLR after 4 iterations."""
    folder = tmp_path_factory.mktemp('stopped')
    train(folder, **SHORT)
    return str(folder / 'work/iter_4.pth')


@pytest.mark.parametrize('kind', SCHEDULES)
def test_schedules_of_another_kind_cannot_go_on(stopped, tmp_path, kind):
    other = {**LONG, 'param_scheduler': SCHEDULES[kind]}
    other.pop('param_scheduler.0.end')
    config = 'CosineAnnealingLR' if kind == 'a class' else 'LinearLR, PolyLR'
    with pytest.raises(ValueError, match=f'iter_4.pth.*its param_scheduler is PolyLR, that of the config {config}, '):
        train(tmp_path, load_from=stopped, resume=True, **other)


def test_statistics_of_another_optimizer_with_the_same_settings_are_refused(stopped, tmp_path):
    """Adamax has no setting that Adam lacks, and would stop at its first step."""
    adamax = {**LONG, 'optim_wrapper.optimizer': dict(type='Adamax', lr=1e-3)}
    adamax.pop('optim_wrapper.optimizer.lr')
    with pytest.raises(ValueError, match='iter_4.pth.*another kind: Adam, and the config has Adamax'):
        train(tmp_path, load_from=stopped, resume=True, **adamax)


def test_adam_and_adamw_share_their_statistics_and_the_decay_is_told(stopped, tmp_path):
    adamw = {**LONG, 'optim_wrapper.optimizer.type': 'AdamW'}
    _, log, runner = train(tmp_path, load_from=stopped, resume=True, resume_settings='config', **adamw)
    assert 'optimizer.decoupled_weight_decay: False in the checkpoint, True in the config' in log
    assert runner.optim_wrapper.param_groups[0]['decoupled_weight_decay'] is True


def test_checkpoints_without_names_are_told_apart_by_what_they_remember(stopped):
    checkpoint = read_checkpoint(stopped)
    assert checkpoint['meta']['kinds'] == dict(optimizer='Adam', schedulers=['PolyLR'])
    del checkpoint['meta']['kinds']
    parameters = [torch.nn.Parameter(torch.zeros(1))]
    for build, same in ((lambda x: PolyLR(x, by_epoch=False, end=5), True), (lambda x: ConstantLR(x), False)):
        optimizer = torch.optim.Adam(parameters, lr=1e-3)
        schedulers = [build(optimizer)]
        groups = optimizer.state_dict()['param_groups']
        if same:
            settle_settings(checkpoint, groups, schedulers, 'checkpoint', 'Adam')
            continue
        with pytest.raises(ValueError, match='its param_scheduler is 1 schedules, that of the config ConstantLR'):
            settle_settings(checkpoint, groups, schedulers, 'checkpoint', 'Adam')


def test_other_groups_of_parameters_cannot_go_on(stopped, tmp_path):
    other = {**LONG, 'optim_wrapper.paramwise_cfg': dict(custom_keys={'heads.depth': dict(lr_mult=10)})}
    with pytest.raises(ValueError, match='iter_4.pth.*it has [0-9]+ groups of parameters, and the config makes'):
        train(tmp_path, load_from=stopped, resume=True, **other)


@pytest.mark.parametrize('length', [3, 4])
def test_a_training_that_has_nothing_left_says_so(stopped, tmp_path, length):
    _, log, _ = train(tmp_path, load_from=stopped, resume=True, **{**SHORT, 'train_cfg.max_iters': length})
    assert f'is of iteration 4, and this training has {length}: nothing is left to train.' in log
    assert not list((tmp_path / 'work').glob('iter_*.pth'))


def test_averages_are_not_taken_for_trained_weights(tmp_path):
    train(tmp_path, custom_hooks=[dict(type='EMAHook')], **SHORT)
    path = str(tmp_path / 'work/iter_4.pth')
    with pytest.raises(ValueError, match='iter_4.pth was trained with EMAHook: its weights are averages'):
        train(tmp_path, load_from=path, resume=True, **LONG)
    train(tmp_path, load_from=path, resume=True, custom_hooks=[dict(type='EMAHook')], **LONG)


@pytest.mark.parametrize('kind', [torch.float16, torch.bfloat16])
def test_weights_that_were_rounded_are_no_place_to_go_on_from(stopped, tmp_path, kind):
    checkpoint = torch.load(stopped, weights_only=True)
    name = next(name for name, x in checkpoint['state_dict'].items() if name.endswith('weight'))
    checkpoint['state_dict'][name] = checkpoint['state_dict'][name].to(kind)
    torch.save(checkpoint, tmp_path / 'rounded.pth')
    with pytest.raises(ValueError, match=f"rounded.pth has weight '{name}' rounded to {kind}"):
        train(tmp_path, load_from=str(tmp_path / 'rounded.pth'), resume=True, **LONG)
    train(tmp_path, load_from=str(tmp_path / 'rounded.pth'), **SHORT)  # a start is another matter


def batch(images, processes=1, accumulation=1):
    return dict(images=images, processes=processes, accumulation=accumulation)


@pytest.mark.parametrize('stored', [batch(8), batch(2, 4), batch(1, 8), None, dict(images=4), batch(0), batch('4')])
def test_batches_that_mean_the_same_or_nothing(stored):
    assert batch_difference(stored, batch(4, 2), 10) is None


def test_another_batch_by_hand():
    text = batch_difference(batch(3, 2, 4), batch(5, 2), 10)
    assert 'with 3 images x 2 processes x 4 steps to an update of the weights, this config has 5 images x 2 p' in text
    assert 'iteration 10 stood for 60 images and the next ones go on after image 100 of the order' in text


def test_as_many_images_to_an_update_in_other_iterations():
    """Iterations are counted: of half as many images, there are half as many images in what is left of them."""
    text = batch_difference(batch(4), batch(2, 1, 2), 500)
    assert 'with 4 images to an update of the weights, this config has 2 images x 2 steps' in text
    assert 'iteration 500 stood for 2000 images and the next ones go on after image 1000 of the order' in text
    assert batch_difference(batch(4, 1, 2), batch(4), 1) is not None


def test_what_a_checkpoint_keeps_of_the_training():
    model = torch.nn.Linear(1, 1)
    wrapper = SimpleNamespace(optimizer=torch.optim.SGD(model.parameters(), lr=1.0), _accumulative_counts=3)
    owner = SimpleNamespace(optim_wrapper=wrapper, param_schedulers=[PolyLR(wrapper.optimizer)])
    assert kinds_of(owner) == dict(optimizer='SGD', schedulers=['PolyLR'])
    assert kinds_of(SimpleNamespace(param_schedulers={})) == dict(optimizer='', schedulers=[])
    assert optimizer_kind(None) == ''
    runner = SimpleNamespace(strategy=owner, train_dataloader=SimpleNamespace(batch_size=5))
    assert batch_of(runner) == batch(5, 1, 3)
    assert batch_of(SimpleNamespace()) == batch(0, 1, 1)


def test_a_schedule_of_epochs_goes_to_where_the_config_would_be():
    """Seven iterations in two epochs are three an epoch: one step of two is behind it."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedulers = [
        MultiStepLR(optimizer, milestones=[1, 9], gamma=0.1),
        ConstantLR(optimizer, factor=1.0, by_epoch=False),
    ]
    stored = dict(optimizer.state_dict()['param_groups'][0], lr=0.7, momentum=0.9)
    checkpoint = dict(optimizer=dict(param_groups=[stored]), meta=dict(iter=7, epoch=2), param_schedulers=[])
    with warnings.catch_warnings():
        warnings.simplefilter('error')  # nothing is stepped in the wrong order
        told = settle_settings(checkpoint, optimizer.param_groups, schedulers, 'config')
    assert told == [
        'optimizer.momentum: 0.9 in the checkpoint, 0 in the config',
        'param_scheduler: 0 in the checkpoint, 2 in the config',
    ]
    assert (stored['lr'], stored['momentum']) == (pytest.approx(0.1), 0)
    steps, constant = checkpoint['param_schedulers']
    assert (steps['last_step'], constant['last_step']) == (2, 7)
    assert steps['_last_value'] == [pytest.approx(0.1)]
    assert optimizer.param_groups[0]['lr'] == 1.0  # what was built is as it was


@pytest.mark.parametrize('content', [{}, dict(optimizer=5), dict(optimizer=dict(param_groups=[1]))])
def test_checkpoints_of_another_form_say_nothing(content):
    assert settle_settings(content, [{}], [], 'config') == []
