import pytest

from mlore_mm.converters import KeyTable

TABLE = KeyTable(
    [
        ('encoder.{i}.{p}', 'backbone.layers.{i}.{p}'),
        ('pair.{t}.{u}.{rest}', 'head.{u}.from.{t}.{rest}'),
        ('twice.{t}.{t}.{p}', 'twice.{t}.{p}'),
    ],
    unused={r'old_head\.': 'a head that is not called'},
    name='toy',
)


def test_there_and_back():
    theirs = {'module.encoder.11.weight': 1, 'module.pair.sal.edge.a.0.b': 2, 'module.old_head.weight': 3}
    ours, left_out = TABLE.to_ours(theirs)
    assert ours == {'backbone.layers.11.weight': 1, 'head.edge.from.sal.a.0.b': 2}
    assert left_out == {'module.old_head.weight': 'a head that is not called'}
    del theirs['module.old_head.weight']
    assert TABLE.to_published(ours) == theirs
    assert TABLE.to_ours({'encoder.11.weight': 1})[0] == {'backbone.layers.11.weight': 1}
    assert TABLE.for_tasks(['a']) is TABLE


def test_the_first_row_that_fits_decides():
    table = KeyTable([('a.{i}.{p}', 'x.{i}.{p}'), ('a.{rest}', 'y.{rest}')], prefix='')
    assert (table.ours('a.1.bias'), table.ours('a.b.bias')) == ('x.1.bias', 'y.b.bias')
    assert table.to_published({'y.b': 1}) == {'a.b': 1}


def test_dots_are_dots_and_repeated_pieces_agree():
    assert TABLE.ours('encoderX1.weight') is None
    assert TABLE.ours('twice.sal.sal.weight') == 'twice.sal.weight'
    assert TABLE.ours('twice.sal.edge.weight') is None
    assert TABLE.published('twice.sal.weight') == 'twice.sal.sal.weight'
    with pytest.raises(ValueError, match="need the same pieces, but have .*'i'.* and .*'j'"):
        KeyTable([('a.{i}', 'b.{j}')])


def test_unknown_keys_are_named():
    with pytest.raises(ValueError, match=r'1 keys of the checkpoint are unknown.*module\.decoder\.weight.*toy'):
        TABLE.to_ours({'module.decoder.weight': 0})
    with pytest.raises(ValueError, match=r'1 keys have no counterpart in the toy layout'):
        TABLE.to_published({'neck.weight': 0})
