import pytest

from mlore_mm.datasets.sample_list import Folders, list_folder, name_some, read_split, require_folder


def split(tmp_path, content):
    path = tmp_path / 'train.txt'
    path.write_bytes(content)
    return str(path)


def test_line_ends_blank_lines_and_marks_do_not_matter(tmp_path):
    assert read_split(split(tmp_path, b'\xef\xbb\xbfa\r\nb c\r\n\r\n  \n\xc3\xa9\n')) == ['a', 'b c', 'é']


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'train.txt lists no sample'),
        (b'\r\n \n', 'train.txt lists no sample'),
        (b'a\nb\na\n', 'lists samples more than once: a'),
        (b'a\n../../etc/passwd\n', r'names files outside the data set: \.\./\.\./etc/passwd'),
        (b'/etc/passwd\n', 'names files outside the data set: /etc/passwd'),
        (b'\xff\xfe\x00', 'is not UTF-8 text'),
    ],
)
def test_bad_split_files_are_named(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        read_split(split(tmp_path, content))


def test_a_missing_split_file_is_named(tmp_path):
    with pytest.raises(ValueError, match='Cannot read the split file .*val.txt: No such file.* Check `ann_file`'):
        read_split(str(tmp_path / 'val.txt'))


def test_a_folder_is_listed_with_its_subfolders(tmp_path):
    (tmp_path / 'town').mkdir()
    for name in ('b_left.jpg', 'a_left.jpg', 'town/c_left.jpg', 'a_right.jpg', 'note.txt'):
        (tmp_path / name).touch()
    assert list_folder(str(tmp_path), ['_left.jpg']) == ['a', 'b', 'town/c']


def test_a_folder_without_images_and_twin_names_are_errors(tmp_path):
    with pytest.raises(ValueError, match='has no file that ends with .jpg or .png'):
        list_folder(str(tmp_path), ['.jpg', '.png'])
    (tmp_path / 'a.jpg').touch()
    (tmp_path / 'a.png').touch()
    with pytest.raises(ValueError, match='several images of one name: a'):
        list_folder(str(tmp_path), ['.jpg', '.png'])


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, 'Permission denied', str(path))

    monkeypatch.setattr('os.scandir', refuse)  # rights do not stop the root user, whom some run tests as
    monkeypatch.setattr('os.listdir', refuse)
    with pytest.raises(ValueError, match=f'Cannot list the folder {tmp_path}: Permission denied'):
        list_folder(str(tmp_path), ['.jpg'])
    with pytest.raises(ValueError, match=f'Cannot list the folder {tmp_path}: Permission denied'):
        Folders().has(str(tmp_path / 'a.jpg'))


def test_folders_answer_from_one_listing(tmp_path):
    (tmp_path / 'a').touch()
    folders = Folders()
    assert folders.has(str(tmp_path / 'a'))
    assert not folders.has(str(tmp_path / 'b'))
    assert not folders.has(str(tmp_path / 'none/a'))
    (tmp_path / 'b').touch()
    assert not folders.has(str(tmp_path / 'b'))


def test_a_missing_folder_is_told_from_a_file(tmp_path):
    with pytest.raises(ValueError, match="The root '.*none' does not exist. Look again"):
        require_folder(str(tmp_path / 'none'), 'The root', 'Look again.')
    (tmp_path / 'file').touch()
    with pytest.raises(ValueError, match='is not a folder'):
        require_folder(str(tmp_path / 'file'), 'The root', 'Look again.')


def test_long_lists_are_cut():
    assert name_some(list('abc')) == 'a, b, c'
    assert name_some(list('abcdefg')) == 'a, b, c, d, e and 2 more'


def test_links_and_names_with_dots(tmp_path):
    assert read_split(split(tmp_path, b'a..b\nc/..d\n')) == ['a..b', 'c/..d']
    (tmp_path / 'b').mkdir()
    (tmp_path / 'a').mkdir()
    for name in ('b/2.JPG', 'b/1.Jpg', 'a/x.jpg'):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"not be found: b/1.Jpg, b/2.JPG. .*img_suffix=\('.jpg', '.JPG', '.Jpg'\)"):
        list_folder(str(tmp_path), ['.jpg'])
    assert list_folder(str(tmp_path), ['.jpg', '.JPG', '.Jpg']) == ['a/x', 'b/1', 'b/2']


def test_another_case_of_a_name_is_found(tmp_path):
    (tmp_path / 'A.png').touch()
    folders = Folders()
    assert folders.other_case(str(tmp_path / 'a.PNG')) == str(tmp_path / 'A.png')
    assert folders.other_case(str(tmp_path / 'A.png')) is None
    assert folders.other_case(str(tmp_path / 'b.png')) is None
    assert not folders.has(str(tmp_path / 'A.png/a'))  # a file in place of a folder


def test_five_names_are_no_long_list():
    assert name_some(list('abcde')) == 'a, b, c, d, e'
    assert name_some(list('abcdef')) == 'a, b, c, d, e and 1 more'
