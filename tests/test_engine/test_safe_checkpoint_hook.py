"""On the toy model, in this process; what a kill does is in test_resume.py."""

import errno
import hashlib
import os

import pytest
import torch

from mlore_mm.engine.checkpoints import read_checkpoint
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
