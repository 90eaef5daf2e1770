import zipfile

import pytest
import torch

from mlore_mm.engine.checkpoints import find_damage, has_checkpoint, newest_whole_checkpoint
from mlore_mm.engine.checkpoints.files import steps_in


def save(folder, *steps, last=None):
    for step in steps:
        torch.save(dict(state_dict=dict(a=torch.full((500,), float(step)))), folder / f'iter_{step}.pth')
    if last is not None:
        (folder / 'last_checkpoint').write_text(str(folder / f'iter_{last}.pth'))


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    place = data.index(torch.full((500,), 6.0).numpy().tobytes()) + 1000
    data[place] ^= 1
    path.write_bytes(data)


def test_damage_is_found_and_named(tmp_path):
    save(tmp_path, 6)
    path = tmp_path / 'iter_6.pth'
    assert find_damage(path) is None
    data = path.read_bytes()
    for content in (data[:-1], data[: len(data) // 2], b'', b'text'):
        path.write_bytes(content)
        assert 'cut short or no checkpoint' in find_damage(path)
    assert find_damage(tmp_path / 'lost.pth') == 'there is no such file'


def test_a_flipped_bit_that_pytorch_reads_is_found(tmp_path):
    save(tmp_path, 6)
    flip_a_bit(tmp_path / 'iter_6.pth')
    values = torch.load(tmp_path / 'iter_6.pth', weights_only=True)['state_dict']['a']
    assert (values != 6).sum() == 1  # without a word
    assert 'checksum' in find_damage(tmp_path / 'iter_6.pth')


def test_a_member_that_is_marked_as_a_folder_is_damage(tmp_path):
    """One flipped bit of the archive's table: no checksum covers it, and PyTorch reads what lies in its memory."""
    path = tmp_path / 'a.pth'
    torch.save(dict(state_dict=dict(w=torch.arange(64.0))), path)
    assert find_damage(path) is None
    data = bytearray(path.read_bytes())
    entry = data.rindex(b'a/data/0') - 46
    assert data[entry : entry + 4] == b'PK\1\2'
    data[entry + 38] |= 0x10
    path.write_bytes(data)
    assert "'a/data/0' in it is marked as a folder" in find_damage(path)


def test_a_compressed_archive_is_no_checkpoint(tmp_path):
    with zipfile.ZipFile(tmp_path / 'bomb.pth', 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('bomb/data/0', bytes(10**7))
    assert "'bomb/data/0' in it is compressed" in find_damage(tmp_path / 'bomb.pth')


def test_the_last_one_is_taken_and_not_that_of_an_older_training(tmp_path):
    save(tmp_path, 2, 4, 900, last=4)
    assert newest_whole_checkpoint(tmp_path) == (str(tmp_path / 'iter_4.pth'), [])


def test_damaged_ones_are_named_and_the_next_whole_one_is_taken(tmp_path):
    save(tmp_path, 2, 4, 6, last=6)
    flip_a_bit(tmp_path / 'iter_6.pth')
    (tmp_path / 'iter_4.pth').write_bytes(b'half')
    path, problems = newest_whole_checkpoint(tmp_path)
    assert path.endswith('iter_2.pth')
    assert ['iter_6.pth cannot be used' in problems[0], 'iter_4.pth cannot be used' in problems[1]] == [True, True]


def test_a_lost_or_moved_last_checkpoint(tmp_path):
    old, new = tmp_path / 'old', tmp_path / 'new'
    old.mkdir()
    save(old, 2, 4, last=4)
    old.rename(new)
    assert newest_whole_checkpoint(new)[0] == str(new / 'iter_4.pth')
    (new / 'iter_4.pth').unlink()
    (new / 'last_checkpoint').unlink()
    assert newest_whole_checkpoint(new)[0] == str(new / 'iter_2.pth')


def test_nothing_saved_differs_from_nothing_whole(tmp_path):
    assert newest_whole_checkpoint(tmp_path) == (None, [])
    assert not has_checkpoint(tmp_path)
    (tmp_path / 'last_checkpoint').write_text('/gone/iter_8.pth')
    assert has_checkpoint(tmp_path)
    with pytest.raises(ValueError, match='No checkpoint of .* is whole. .*iter_8.pth cannot be used: there is no such'):
        newest_whole_checkpoint(tmp_path)


def test_steps_are_numbers_and_other_files_are_no_steps(tmp_path):
    save(tmp_path, 2, 9, 10)
    for name in ('iter_11.pth.bak', 'best_iter_12.pth', 'iter_x.pth'):
        (tmp_path / name).touch()
    (tmp_path / 'iter_13.pth').mkdir()
    assert [path.name for path in steps_in(tmp_path)] == ['iter_10.pth', 'iter_9.pth', 'iter_2.pth']
    assert has_checkpoint(tmp_path)
    assert newest_whole_checkpoint(tmp_path)[0] == str(tmp_path / 'iter_10.pth')
    (tmp_path / 'last_checkpoint').write_text(' \n')  # cut off
    assert newest_whole_checkpoint(tmp_path)[0] == str(tmp_path / 'iter_10.pth')
    (tmp_path / 'last_checkpoint').write_text('mine.pth')  # of no step: any may be older
    (tmp_path / 'mine.pth').touch()
    path, problems = newest_whole_checkpoint(tmp_path)
    assert path == str(tmp_path / 'iter_10.pth')
    assert 'mine.pth cannot be used: 0 bytes' in problems[0]


def test_epochs_are_steps(tmp_path):
    save(tmp_path, 3)
    (tmp_path / 'iter_3.pth').rename(tmp_path / 'epoch_3.pth')
    assert newest_whole_checkpoint(tmp_path)[0] == str(tmp_path / 'epoch_3.pth')
