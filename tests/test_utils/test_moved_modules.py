import importlib

import pytest

from mlore_mm.utils.moved_modules import MOVED


@pytest.mark.parametrize('old', MOVED)
def test_an_old_import_gives_the_module_that_took_its_place(old):
    with pytest.warns(FutureWarning, match=f'is now mlore_mm.{MOVED[old]}'):
        module = importlib.import_module(f'mlore_mm.{old}')
    assert module is importlib.import_module(f'mlore_mm.{MOVED[old]}')
