import importlib
import sys

import pytest

from mlore_mm.utils.moved_modules import GONE, MOVED
from tests.shared import REPO


@pytest.mark.parametrize('old', MOVED)
def test_an_old_import_gives_the_module_that_took_its_place(old, monkeypatch):
    monkeypatch.delitem(sys.modules, f'mlore_mm.{old}', raising=False)  # another test may have read an old path
    with pytest.warns(FutureWarning, match=f'is now mlore_mm.{MOVED[old]}'):
        module = importlib.import_module(f'mlore_mm.{old}')
    assert module is importlib.import_module(f'mlore_mm.{MOVED[old]}')


@pytest.mark.parametrize('old', GONE)
def test_what_left_the_package_is_said_to_be_where_it_is(old):
    assert (REPO / GONE[old]).is_file()
    with pytest.raises(ModuleNotFoundError, match=f'is now part of the demo: {GONE[old]}'):
        importlib.import_module(f'mlore_mm.{old}')


@pytest.mark.parametrize('name', ['mlore_mm.nothing', 'mlore_mm.models.nothing'])
def test_what_never_was_is_missing_as_anywhere(name):
    with pytest.raises(ModuleNotFoundError, match=f"No module named '{name}'"):
        importlib.import_module(name)


def test_names_of_other_packages_are_left_alone():
    finder = next(x for x in sys.meta_path if type(x).__name__ == '_MovedModules')
    assert finder.find_spec('mlore_mm.models.inference') is not None
    assert finder.find_spec('mmseg.models.inference') is None
    assert finder.find_spec('mlore_mm.models') is None
