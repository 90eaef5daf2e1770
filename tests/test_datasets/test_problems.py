from mlore_mm.datasets.problems import group_problems, summarize_problems

FOUND = "Label of task 'semseg' in /data/labels/{}.png: class ids 0 to 10 or 255 (ignore) expected, found [{}]."


def test_equal_problems_are_told_once_with_the_option_that_cures_them():
    problems = [FOUND.format(f'f{i}', 11) for i in range(62)] + ['/data/images/a.jpg is empty (0 bytes).']
    cure = (
        'ignore=(11,) of the label reader if they mean no label (before `offset`: the numbers in the file), `id_map` '
        'or `offset` if the classes are numbered otherwise, `out_channels` if there are more of them'
    )
    first, second = summarize_problems(problems)
    assert first.splitlines() == [
        problems[0],
        '  and 61 more of this kind: /data/labels/f1.png, /data/labels/f2.png, /data/labels/f3.png and 58 others',
        f'  to cure it: {cure}',
    ]
    assert second == problems[-1]


def test_the_ids_of_all_files_are_gathered():
    (text,) = summarize_problems([FOUND.format('a', 12)])
    assert 'ignore=(12,)' in text
    (text,) = summarize_problems([FOUND.format('a', 12), FOUND.format('b', 11)])
    assert 'ignore=(11, 12)' in text


def test_values_that_stand_for_nothing_are_gathered():
    message = '/data/{}.png holds the values [{}], which stand for no class here. Check `offset`.'
    (text,) = summarize_problems([message.format('a', 40), message.format('b', 41)])
    assert 'ignore=(40, 41) of the label reader' in text


def test_different_problems_stay_apart():
    assert len(group_problems(['/a/x.png is empty.', '/a/x.png is broken.', '/b/y.png is empty.'])) == 2


def test_three_others_are_named():
    problems = [f'/a/{i}.png is {i}x{-i}.5 wide.' for i in range(4)]
    assert summarize_problems(problems) == [
        problems[0] + '\n  and 3 more of this kind: /a/1.png, /a/2.png, /a/3.png',
    ]
    assert summarize_problems(['wrong 1.', 'wrong 2.']) == ['wrong 1.\n  and 1 more of this kind: ?']
    assert summarize_problems(['wrong.', 'other.']) == ['wrong.', 'other.']


def test_turned_photos_and_long_lists_of_values():
    turned = 'x/a.png is 3x4, but its image x/a.jpg is 4x3. They have to agree. One is turned by a rotation'
    assert summarize_problems([turned])[0].endswith(
        'to cure it: turn the photos or the labels, and remove the EXIF tag'
    )
    assert 'cure' not in summarize_problems([turned.split(' One')[0]])[0]
    many = summarize_problems([FOUND.format('a', ' '.join(map(str, range(20, 30))))])[0]
    assert 'ignore=(20, 21, 22, 23, 24, 25, 26, 27) of' in many
    none = '/a/x.png holds the values [{}], which stand for no class here.'
    (text,) = summarize_problems([none.format(', '.join(map(str, range(50, 60))))])
    assert 'ignore=(50, 51, 52, 53, 54, 55, 56, 57) of' in text
