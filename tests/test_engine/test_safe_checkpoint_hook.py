"""On the toy model, in this process; what a kill does is in test_resume.py."""

import errno
import hashlib
import os
from types import SimpleNamespace

import pytest
import torch
from mmengine.runner import EpochBasedTrainLoop

from mlore_mm.engine.checkpoints import OwnFiles, read_checkpoint
from mlore_mm.engine.hooks import SafeCheckpointHook
from mlore_mm.registry import RUNNERS
from tests.test_engine.test_epoch_loop import build as build_epochs
from tests.test_engine.test_preemption_hook import Signal, stopped
from tests.test_engine.test_runner import load


def build(folder, **options):
    options = {'default_hooks.checkpoint.interval': 1, 'default_hooks.checkpoint.max_keep_ckpts': 1, **options}
    return RUNNERS.build(load(folder, **options))


def files(folder):
    return sorted(x.name for x in (folder / 'work').iterdir() if x.is_file() and x.suffix != '.py')


def test_the_work_folder_stays_bounded(tmp_path):
    build(tmp_path).train()
    names = files(tmp_path)
    assert [x for x in names if x.startswith('iter')] == ['iter_4.pth']
    assert len([x for x in names if x.startswith('best')]) == 1
    assert not [x for x in names if 'partial' in x]


def test_the_older_checkpoint_goes_only_when_the_newer_is_there(tmp_path, monkeypatch):
    seen, replace = [], os.replace

    def look(source, target):
        if str(target).endswith('.pth'):
            seen.append([x for x in files(tmp_path) if x.startswith('iter')])
        replace(source, target)

    monkeypatch.setattr(os, 'replace', look)
    build(tmp_path, **{'default_hooks.checkpoint.save_best': None}).train()
    assert seen == [[], ['iter_1.pth'], ['iter_2.pth'], ['iter_3.pth']]


def test_a_full_disk_ends_with_a_message_and_the_older_checkpoint(tmp_path, monkeypatch):
    fsync, calls = os.fsync, []

    def full(handle):
        calls.append(handle)
        if len(calls) > 4:  # a file and its folder, for the first checkpoint and its `last_checkpoint`
            raise OSError(errno.ENOSPC, 'No space left on device')
        fsync(handle)

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(ValueError, match=r'Cannot write .*iter_2.pth .*No space left on device.*--resume'):
        build(tmp_path).train()
    assert files(tmp_path) == ['iter_1.pth', 'last_checkpoint']
    monkeypatch.undo()
    build(tmp_path, resume=True).train()
    assert read_checkpoint(tmp_path / 'work/iter_4.pth')['meta']['iter'] == 4


def test_leftovers_are_removed_at_the_next_start(tmp_path):
    build(tmp_path, **{'train_cfg.max_iters': 2, 'default_hooks.checkpoint.save_best': None}).train()
    work = tmp_path / 'work'
    (work / '.iter_3.pth.partial').write_bytes(b'half')
    (work / 'iter_1.pth').write_bytes(b'was to be removed')  # what iter_2.pth says it supersedes
    build(tmp_path, resume=True).train()
    assert [x for x in files(tmp_path) if 'iter' in x and 'best' not in x] == ['iter_4.pth']


def test_a_damaged_checkpoint_is_reported_and_the_one_before_is_used(tmp_path):
    build(tmp_path, **{'default_hooks.checkpoint.max_keep_ckpts': 2}).train()
    (tmp_path / 'work/iter_4.pth').write_bytes((tmp_path / 'work/iter_4.pth').read_bytes()[:-100])
    runner = build(tmp_path, resume=True, **{'train_cfg.max_iters': 5})
    runner.train()
    log = next(x for x in (tmp_path / 'work' / runner.timestamp).glob('*.log')).read_text()
    assert 'iter_4.pth cannot be used' in log
    assert 'resumed epoch: 0, iter: 3' in log


def test_what_is_published_is_whole_and_carries_its_checksum(tmp_path, monkeypatch):
    keys = {'default_hooks.checkpoint.published_keys': ['meta', 'state_dict']}
    build(tmp_path, **keys).train()
    published = sorted((tmp_path / 'work').glob('*-*.pth'))
    assert [path.name.split('-')[0] for path in published] == ['best_semseg_mIoU_iter_2', 'iter_4']
    for path in published:
        assert path.stem[-8:] == hashlib.sha256(path.read_bytes()).hexdigest()[:8]
        assert sorted(read_checkpoint(path)) == ['meta', 'state_dict']
    whole, kept = (read_checkpoint(x)['state_dict'] for x in (tmp_path / 'work/iter_4.pth', published[1]))
    torch.testing.assert_close(kept, whole, rtol=0, atol=0)

    for path in published:
        path.unlink()
    replace = os.replace

    def interrupted(source, target):
        if '-' in os.path.basename(target):
            raise OSError(errno.ENOSPC, 'No space left on device')
        replace(source, target)

    monkeypatch.setattr(os, 'replace', interrupted)
    with pytest.raises(ValueError, match='No space left on device'):
        build(tmp_path, resume=True, **keys).train()
    assert [x for x in files(tmp_path) if x.endswith('.pth')] == ['best_semseg_mIoU_iter_2.pth', 'iter_4.pth']


def test_a_validation_alone_saves_nothing(tmp_path):
    build(tmp_path).train()
    before = files(tmp_path)
    build(tmp_path, load_from=str(tmp_path / 'work/iter_4.pth')).val()
    assert files(tmp_path) == before


def test_a_stop_inside_an_epoch_says_how_far_it_was(tmp_path):
    """Two iterations an epoch: after the third, one epoch is whole; mmengine would say two."""
    stopped(build_epochs(tmp_path, Signal(2)))
    meta = read_checkpoint(tmp_path / 'work/iter_3.pth')['meta']
    assert (meta['epoch'], meta['iter']) == (1, 3)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(interval=0), 'interval is 0, expected 1 or more'),
        (dict(max_keep_ckpts=0), 'max_keep_ckpts is 0, expected 1 or more'),
        (dict(published_suffix='.safetensors', published_keys=['meta']), "published_keys needs 'state_dict'"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        SafeCheckpointHook(**options)
    SafeCheckpointHook(interval=-1, max_keep_ckpts=-1, published_suffix='.safetensors')


@pytest.mark.parametrize(
    ('out_dir', 'folder'), [(None, 'a/run'), ('a/run', 'a/run'), ('s3://b/', 's3://b/run'), ('c', 'c/run')]
)
def test_the_folder_that_is_written_to(out_dir, folder):
    hook = SafeCheckpointHook()
    hook.out_dir = out_dir
    assert hook._folder(SimpleNamespace(work_dir='a/run')) == folder


def loop_at(done, folder, kind=SimpleNamespace, **options):
    """A runner after so many iterations, of 7 with a validation at each 3rd; or epochs of two iterations."""
    loop = kind.__new__(kind)
    vars(loop).update(dict(val_begin=1, val_interval=3, dataloader=range(2)), **options)
    whole = dict(epoch=done // 2, max_epochs=7, max_iters=7, val_loop=True)
    return SimpleNamespace(
        train_loop=loop, iter=done, work_dir=folder, **{**whole, 'val_loop': options.get('val', True)}
    )


def test_a_validation_is_owed_where_one_was_due_and_not_ended(tmp_path):
    owes = SafeCheckpointHook()._owes_validation
    assert [done for done in range(8) if owes(loop_at(done, tmp_path))] == [3, 6, 7]
    assert [done for done in range(8) if owes(loop_at(done, tmp_path, val_begin=6))] == [6, 7]
    assert not owes(loop_at(3, tmp_path, val=None))
    by_epoch = [done for done in range(15) if owes(loop_at(done, tmp_path, EpochBasedTrainLoop))]
    assert by_epoch == [6, 12, 14]  # of epochs 3, 6 and 7
    (tmp_path / 'last_validation').write_text('6\n')
    assert [done for done in range(8) if owes(loop_at(done, tmp_path))] == [3, 7]


def test_a_new_training_forgets_the_validations_of_an_older_one(tmp_path):
    (tmp_path / 'work').mkdir()
    (tmp_path / 'work' / 'last_validation').write_text('4')
    build(tmp_path, **{'train_cfg.max_iters': 1, 'train_cfg.val_begin': 9}).train()
    assert not (tmp_path / 'work' / 'last_validation').exists()


def test_a_stop_in_an_epoch_is_replaced_by_the_epochs_checkpoint(tmp_path):
    hook = SafeCheckpointHook(by_epoch=True, max_keep_ckpts=1)
    hook.own, hook.last_ckpt = OwnFiles(tmp_path, 'epoch_{}.pth'), f'{tmp_path}/epoch_2.pth'
    stop = f'{tmp_path}/iter_3.pth'
    assert hook._stopped_in_an_epoch(stop) == [stop]
    for other in (None, f'{tmp_path}/epoch_1.pth', '/elsewhere/iter_3.pth'):
        assert hook._stopped_in_an_epoch(other) == []
    hook.last_ckpt = stop
    assert hook._stopped_in_an_epoch(stop) == []
    hook.last_ckpt, hook.max_keep_ckpts = f'{tmp_path}/epoch_2.pth', -1
    assert hook._stopped_in_an_epoch(stop) == []
    hook.max_keep_ckpts, hook.by_epoch = 1, False
    assert hook._stopped_in_an_epoch(stop) == []
