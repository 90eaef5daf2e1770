"""What a checkpoint says about files is no order: on the toy model, with checkpoints that name all kinds of paths."""

import os
from pathlib import Path

import pytest

import mlore_mm  # noqa: F401
from mlore_mm.engine.checkpoints import OwnFiles, read_checkpoint
from mlore_mm.engine.checkpoints.own_files import describe, same_folder
from tests.test_engine.test_safe_checkpoint_hook import build, files


@pytest.fixture
def victim(tmp_path):
    """A file, a tree and checkpoints of somebody else."""
    folder = tmp_path / 'victim'
    (folder / 'photos' / '2024').mkdir(parents=True)
    for name in ('thesis.txt', 'photos/2024/a.jpg', 'iter_1.pth', 'best_semseg_mIoU_iter_1.pth'):
        (folder / name).write_text(name)
    return folder


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*'))


def trained(tmp_path, **options):
    build(tmp_path, **{'train_cfg.max_iters': 2, **options}).train()
    return tmp_path / 'work' / 'iter_2.pth'


def with_info(source, target, **info):
    import torch

    checkpoint = read_checkpoint(source)
    checkpoint['message_hub']['runtime_info'].update(info)
    checkpoint['message_hub']['resumed_keys'].update(dict.fromkeys(info, True))
    torch.save(checkpoint, target)
    return str(target)


def log_of(runner):
    return next((Path(runner.work_dir) / runner.timestamp).glob('*.log')).read_text()


@pytest.mark.parametrize('inside', [True, False], ids=['in the work folder', 'from elsewhere'])
@pytest.mark.parametrize('name', ['thesis.txt', 'photos', 'iter_1.pth', 'best_semseg_mIoU_iter_1.pth'])
def test_no_path_of_a_file_is_obeyed(tmp_path, victim, name, inside):
    source, before = trained(tmp_path), tree(victim)
    path = str(victim / name)
    info = {'superseded_ckpts': [path, f'{tmp_path}/work/../victim/iter_1.pth', str(victim), '../victim', 5, None]}
    info |= {'best_ckpt': path, 'best_ckpt_depth/RMSE': [path], 'last_ckpt': path, 'best_score': -1.0}
    target = with_info(source, source if inside else tmp_path / 'evil.pth', **info)
    publish = {'default_hooks.checkpoint.published_keys': ['state_dict']}
    runner = build(tmp_path, load_from=target, resume=True, **publish, **{'train_cfg.max_iters': 3})
    runner.train()
    assert tree(victim) == before
    assert f'that this run in {tmp_path}/work did not write; they are not deleted: {path}' in log_of(runner)


def test_steps_that_are_no_numbers_are_not_put_into_names(tmp_path, victim):
    source, before = trained(tmp_path), tree(victim)
    (tmp_path / 'work' / 'iter_').mkdir()
    steps = ['/../../victim/thesis', '/../../victim/iter_1', '9', -1, 2.0]
    path = with_info(source, source, keep_ckpt_ids=steps)
    build(tmp_path, load_from=path, resume=True, **{'train_cfg.max_iters': 3}).train()
    assert tree(victim) == before


def test_branching_off_leaves_the_first_training_its_files(tmp_path):
    """Also the best checkpoint, when the branch finds a better one, and older ones of the same names in the branch."""
    source = trained(tmp_path)
    before = files(tmp_path)
    assert 'best_semseg_mIoU_iter_2.pth' in before
    path = with_info(source, source, best_score=-1.0)
    branch = tmp_path / 'branch' / 'work'
    branch.mkdir(parents=True)
    (branch / 'iter_1.pth').write_text('of an older training')
    options = {'load_from': path, 'resume': True, 'work_dir': str(branch), 'train_cfg.max_iters': 4}
    build(tmp_path, **options).train()
    assert files(tmp_path) == before
    assert (branch / 'iter_1.pth').is_file()
    assert {'iter_4.pth', 'best_semseg_mIoU_iter_4.pth'} & {x.name for x in branch.iterdir()}


def test_a_link_of_the_right_name_is_not_followed(tmp_path, victim):
    source = trained(tmp_path)
    link = tmp_path / 'work' / 'iter_1.pth'
    link.symlink_to(victim / 'thesis.txt')
    path = with_info(source, source, superseded_ckpts=[str(link)])
    build(tmp_path, load_from=path, resume=True, **{'train_cfg.max_iters': 3}).train()
    assert (victim / 'thesis.txt').is_file()


def test_what_is_own(tmp_path):
    own = OwnFiles(tmp_path, 'iter_{}.pth')
    for name in ('iter_3.pth', 'best_semseg_mIoU_iter_3.pth'):
        assert f'{tmp_path}/{name}' in own
    for name in ('iter_3.pth/x', 'iter_x.pth', 'iter_3.pth.bak', 'epoch_3.pth', 'xiter_3.pth'):
        assert f'{tmp_path}/{name}' not in own, name
    assert 'iter_3.pth' not in own
    assert f'{tmp_path}/sub/iter_3.pth' not in own
    assert f'{tmp_path}/iter_3.pth\0' not in own
    assert 3 not in own
    assert None not in own
    remote = OwnFiles('s3://bucket/run', 'epoch_{}.pth')
    assert 's3://bucket/run/epoch_3.pth' in remote
    assert 's3://bucket/other/epoch_3.pth' not in remote
    assert not own.removable(tmp_path / 'iter_3.pth')  # nothing there
    (tmp_path / 'iter_3.pth').mkdir()
    assert not own.removable(tmp_path / 'iter_3.pth')
    os.rmdir(tmp_path / 'iter_3.pth')
    (tmp_path / 'iter_3.pth').write_text('')
    assert own.removable(tmp_path / 'iter_3.pth')


@pytest.mark.parametrize('same_run', [True, False])
def test_what_is_kept_of_what_a_checkpoint_says(tmp_path, same_run):
    own, other = f'{tmp_path}/iter_3.pth', '/elsewhere/iter_3.pth'
    info = dict(superseded_ckpts=[own, other], last_ckpt=own, best_ckpt=None, best_ckpt_x=other, best_ckpt_y=[own])
    info |= dict(keep_ckpt_ids=[1, 2], loop_stage='train')
    dropped = OwnFiles(tmp_path, 'iter_{}.pth').keep_own(info, same_run)
    if same_run:
        assert info == dict(superseded_ckpts=[own], last_ckpt=own, keep_ckpt_ids=[1, 2], loop_stage='train')
        assert dropped == [other, other]
    else:
        assert info == dict(superseded_ckpts=[], loop_stage='train')
        assert dropped == [own, other, own, other, own]


@pytest.mark.parametrize(('steps', 'kept'), [([0], True), ((), True), ([-1], False), ([True], False), (3, False)])
def test_steps_have_to_be_whole_numbers(tmp_path, steps, kept):
    info = dict(keep_ckpt_ids=steps)
    assert OwnFiles(tmp_path, 'iter_{}.pth').keep_own(info, True) == []
    assert ('keep_ckpt_ids' in info) is kept


def test_folders_and_names_in_messages(tmp_path):
    (tmp_path / 'link').symlink_to(tmp_path)
    assert same_folder(f'{tmp_path}/a.pth', tmp_path)
    assert same_folder(f'{tmp_path}/link/a.pth', tmp_path)
    assert not same_folder(f'{tmp_path}/b/a.pth', tmp_path)
    assert not same_folder(None, tmp_path)
    assert same_folder('s3://a/b/x.pth', 's3://a/b/')
    assert describe('abc') == 'a, b, c'
    assert describe('abcde') == 'a, b, c and 2 more'
    assert describe(['x' * 200, 'y' * 201]) == f'{"x" * 200}, {"y" * 200}...'


def test_on_other_storage_the_name_decides():
    remote = OwnFiles('s3://bucket/run', 'iter_{}.pth')
    assert remote.removable('s3://bucket/run/iter_3.pth')
    assert not remote.removable('s3://bucket/run/other.pth')
