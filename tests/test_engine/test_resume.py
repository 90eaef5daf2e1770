"""Trainings that are killed and go on, against one that is not."""

import json
import os
import signal
import time

import pytest

from mlore_mm.engine.checkpoints import differences, read_checkpoint
from tests.training import ITERS, train, write_config

SEED = {'randomness.seed': 3}


@pytest.fixture(scope='module')
def straight(tmp_path_factory):
    """Config and work folder of an uninterrupted training."""
    folder = tmp_path_factory.mktemp('straight')
    config = write_config(folder)
    assert train(config, folder / 'work', **SEED) == 0
    return config, folder / 'work'


def files(work):
    return sorted(path.name for path in work.glob('*.pth'))


def test_killed_at_every_kind_of_moment_it_ends_with_the_same_bits(straight, tmp_path):
    config, reference = straight
    kills = [('write', 2), ('write', 1), ('before_train_iter', 3), ('after_val_iter', 2), ('write', 3), ('write', 5)]
    assert [train(config, tmp_path, kill, **SEED) for kill in kills] == [-signal.SIGKILL] * len(kills)
    # The interrupted write of the fourth checkpoint has left a file that is not a checkpoint.
    assert train(config, tmp_path, **SEED) == 0
    assert not list(tmp_path.glob('.*.partial'))
    assert files(tmp_path) == files(reference)
    assert len(files(tmp_path)) == 2  # max_keep_ckpts=1 and the best
    assert differences(reference / f'iter_{ITERS}.pth', tmp_path / f'iter_{ITERS}.pth') == []
    assert results(tmp_path) == results(reference)


def results(work) -> dict:
    (last,) = sorted(work.glob('*/evaluation.json'))[-1:]
    return json.loads(last.read_text())['results']


def test_killed_in_the_last_validation_the_final_numbers_come_all_the_same(straight, tmp_path):
    config, reference = straight
    assert train(config, tmp_path, ('after_val_iter', 12), **SEED) == -signal.SIGKILL  # five images; 4, 8 and 10
    assert json.loads(sorted(tmp_path.glob('*/evaluation.json'))[-1].read_text())['iteration'] == 8
    assert train(config, tmp_path, **SEED) == 0
    assert results(tmp_path) == results(reference)


def test_sigterm_saves_and_ends(straight, tmp_path):
    config, reference = straight
    assert train(config, tmp_path, ('before_train_iter', 6, signal.SIGTERM), **SEED) == 143
    assert read_checkpoint(tmp_path / 'iter_6.pth')['meta']['iter'] == 6
    assert train(config, tmp_path, ('after_val_iter', 7, signal.SIGTERM), **SEED) == 143
    assert train(config, tmp_path, **SEED) == 0
    assert differences(reference / f'iter_{ITERS}.pth', tmp_path / f'iter_{ITERS}.pth') == []


def test_a_training_without_a_seed_goes_on_with_its_own(tmp_path):
    config, work = write_config(tmp_path, iters=6, workers=0), tmp_path / 'work'
    quick = {'train_dataloader.persistent_workers': False}
    assert train(config, work, ('before_train_iter', 4), **quick) == -signal.SIGKILL
    seed = read_checkpoint(work / 'iter_2.pth')['meta']['data_seed']
    assert train(config, work, **quick) == 0
    assert train(config, tmp_path / 'straight', **quick, **{'randomness.seed': seed}) == 0
    assert differences(work / 'iter_6.pth', tmp_path / 'straight/iter_6.pth') == []


def test_another_order_of_samples_is_seen(straight, tmp_path):
    """So that the comparison above is known to notice."""
    config, reference = straight
    assert train(config, tmp_path, **{'randomness.seed': 4}) == 0
    assert 'log.train/loss[0]' in differences(reference / f'iter_{ITERS}.pth', tmp_path / f'iter_{ITERS}.pth')


def test_the_workers_of_a_loader_end_with_their_parent(straight, tmp_path):
    before = children()
    assert train(straight[0], tmp_path, ('before_train_iter', 3), **SEED) == -signal.SIGKILL
    for _ in range(80):
        if not children() - before:
            break
        time.sleep(0.25)
    assert not children() - before


def children() -> set[str]:
    """Processes that run this project's forked code."""
    found = set()
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/cmdline', 'rb') as file:
                if b'forkserver' in file.read() and os.readlink(f'/proc/{pid}/cwd') == os.getcwd():
                    found.add(pid)
        except OSError:
            continue
    return found


def test_killed_with_averages_and_accumulation_it_ends_with_the_same_bits(tmp_path):
    """SIGTERM and SIGKILL in validations, writes and between updates of the weights."""
    config = write_config(tmp_path, iters=8)
    options = {**SEED, 'custom_hooks': [dict(type='EMAHook', momentum=0.1)], 'optim_wrapper.accumulative_counts': 3}
    assert train(config, tmp_path / 'straight', **options) == 0
    soft = signal.SIGTERM
    kills = [('after_val_iter', 3, soft), ('write', 1), ('before_train_iter', 2, soft), ('after_val_iter', 2)]
    ends = [train(config, tmp_path / 'killed', kill, **options) for kill in kills]
    assert ends == [143, -signal.SIGKILL, 143, -signal.SIGKILL]
    assert train(config, tmp_path / 'killed', **options) == 0
    assert differences(tmp_path / 'straight/iter_8.pth', tmp_path / 'killed/iter_8.pth') == []


def test_another_batch_is_told(tmp_path, caplog):
    config, work = write_config(tmp_path, iters=4, workers=0), tmp_path / 'work'
    quick = {'train_dataloader.persistent_workers': False, **SEED}
    assert train(config, work, ('before_train_iter', 3), **quick) == -signal.SIGKILL
    batch = read_checkpoint(work / 'iter_2.pth')['meta']['batch']
    assert batch['processes'] == batch['accumulation'] == 1
    larger = 2 * batch['images']
    assert train(config, work, **quick, **{'train_dataloader.batch_size': larger}) == 0
    (log,) = sorted(work.glob('*/*.log'))[-1:]
    assert f'trained with {batch["images"]} images to an update' in log.read_text()
    assert f'this config has {larger} images, which is in use' in log.read_text()
