"""Names that the text of a config uses."""

from mlore_mm.engine.config_check.top_level import names_used


def test_names_that_a_text_uses():
    text = 'a = b  # c\nd = dict(e=f, g=\'h\', i="j")\nk = l == m\n_n = o.p\n'
    assert {*'bflm', 'o', 'dict'} <= names_used(text)
    assert not {*'acdeghijkn', '_n'} & names_used(text)
