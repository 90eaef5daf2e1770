"""The reference names what there is. `python docs/make_api.py docs/api.md` brings it up to date."""

import re
import runpy

from mlore_mm import registry
from tests.shared import REPO

page = (REPO / 'docs/api.md').read_text(encoding='utf-8')
maker = runpy.run_path(str(REPO / 'docs/make_api.py'))


def test_every_entry_can_be_found():
    listed = re.findall(r'^\| `(\w+)` \|.*\| `(mlore_mm/.+\.py)` \|$', page, re.MULTILINE)
    assert len(listed) > 30
    for name, file in listed:
        assert (REPO / file).exists(), f'{name}: {file} is gone; run python docs/make_api.py docs/api.md'
        assert re.search(rf'^(class|def) {name}\b', (REPO / file).read_text(encoding='utf-8'), re.MULTILINE)


def test_the_sources_say_what_is_registered():
    for name, entries in maker['registered']().items():
        found = getattr(registry, name)
        found.import_from_location()
        modules = found.module_dict.values()  # by class name: one takes the place of mmengine's `Pretrained`
        ours = {value.__name__ for value in modules if value.__module__.startswith('mlore_mm.')}
        assert ours == {entry[0] for entry in entries}
        assert all(text for _, text, _ in entries), f'{name}: a class without a docstring'
