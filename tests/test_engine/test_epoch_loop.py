"""Training by epochs: it ends, covers every image once an epoch, and goes on in the middle of one."""

import pytest
from mmengine.hooks import Hook

from mlore_mm.datasets import ResumableSampler
from mlore_mm.engine.checkpoints import differences, read_checkpoint
from mlore_mm.registry import RUNNERS
from tests.test_engine.test_preemption_hook import Signal, stopped
from tests.test_engine.test_runner import load

EPOCHS = {'train_cfg': dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=4, val_interval=2)}
HOOK = {'by_epoch': True, 'interval': 1, 'max_keep_ckpts': 2}


class Seen(Hook):
    def __init__(self):
        self.images, self.validations = [], 0

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.images.append([sample.sample_id for sample in data_batch['data_samples']])

    def after_val_epoch(self, runner, metrics=None):
        self.validations += 1


def build(folder, *hooks, checkpoint=HOOK, train_cfg=None, **options):
    cfg = load(folder, **options)
    cfg.train_cfg = dict(EPOCHS['train_cfg'], **(train_cfg or {}))
    cfg.train_cfg.pop('_delete_')
    cfg.default_hooks.checkpoint.update(checkpoint)
    runner = RUNNERS.build(cfg)
    for hook in hooks:
        runner.register_hook(hook)
    return runner


def test_epochs_end_and_hold_every_image(tmp_path):
    seen = Seen()
    runner = build(tmp_path, seen)  # three images in batches of two
    runner.train()
    assert (runner.epoch, runner.iter, runner.max_iters, seen.validations) == (4, 8, 8, 2)
    epochs = [sorted(sum(seen.images[i : i + 2], [])) for i in range(0, 8, 2)]
    assert epochs == [['000', '001', '002']] * 4
    assert len({str(seen.images[i : i + 2]) for i in range(0, 8, 2)}) > 1  # in another order
    assert sorted(x.name for x in (tmp_path / 'work').glob('epoch*')) == ['epoch_3.pth', 'epoch_4.pth']


@pytest.mark.parametrize('iteration', [2, 3, 5])
@pytest.mark.parametrize('by_epoch', [True, False])
def test_stopped_anywhere_it_goes_on_with_the_same_bits(tmp_path, iteration, by_epoch):
    checkpoint = HOOK if by_epoch else dict(by_epoch=False, interval=100)
    build(tmp_path, checkpoint=checkpoint, work_dir=str(tmp_path / 'straight')).train()
    runner = build(tmp_path, Signal(iteration), checkpoint=checkpoint)
    assert f'Stopped by SIGTERM after iteration {iteration + 1}; saved' in stopped(runner)
    seen = Seen()
    build(tmp_path, seen, checkpoint=checkpoint, resume=True).train()
    assert len(seen.images) == 8 - iteration - 1
    last = 'epoch_4.pth' if by_epoch else 'iter_8.pth'
    found = differences(tmp_path / 'straight' / last, tmp_path / 'work' / last)
    assert [x for x in found if 'keep_ckpt_ids' not in x] == []
    if by_epoch:
        assert not list((tmp_path / 'work').glob('iter_*.pth'))


def test_stopped_in_a_validation_it_is_repeated(tmp_path):
    build(tmp_path, work_dir=str(tmp_path / 'straight')).train()
    stopped(build(tmp_path, Signal(4, 'val')))
    assert read_checkpoint(tmp_path / 'work/epoch_2.pth')['meta']['epoch'] == 2
    seen = Seen()
    build(tmp_path, seen, resume=True).train()
    assert (seen.validations, len(seen.images)) == (2, 4)
    assert differences(tmp_path / 'straight/epoch_4.pth', tmp_path / 'work/epoch_4.pth') == []


def test_accumulation_waits_for_an_epoch_that_ends_with_an_update(tmp_path):
    options = {'optim_wrapper.accumulative_counts': 4}
    build(tmp_path, checkpoint=dict(HOOK, max_keep_ckpts=-1), **options).train()
    assert sorted(x.name for x in (tmp_path / 'work').glob('epoch*')) == ['epoch_2.pth', 'epoch_4.pth']


def test_a_sampler_that_never_ends_is_refused(tmp_path):
    cfg = {'train_dataloader.sampler.type': 'InfiniteSampler'}
    with pytest.raises(ValueError, match='the first epoch would never end'):
        build(tmp_path, **cfg).train()


@pytest.mark.parametrize(('size', 'processes'), [(5, 2), (6, 3), (4, 3)])
def test_processes_share_the_epochs(size, processes):
    for epoch in range(3):
        parts = []
        for rank in range(processes):
            sampler = ResumableSampler(range(size), seed=1)
            sampler.rank, sampler.world_size, sampler.by_epoch = rank, processes, True
            sampler.set_epoch(epoch)
            parts.append([int(x) for x in sampler])
        assert {len(part) for part in parts} == {len(sampler)} == {-(-size // processes)}
        drawn = [x for group in zip(*parts, strict=True) for x in group]
        assert len(set(drawn)) == min(size, len(drawn)) or size % processes
