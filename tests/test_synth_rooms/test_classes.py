"""Class numbers of things."""

from mlore_mm.datasets.pascal_classes import NORMALS_CLASSES
from mlore_mm.synth_rooms.classes import KINDS


def test_normals_are_valid_by_context_class_for_all_but_plants():
    assert [kind for kind, numbers in KINDS.items() if numbers.context not in NORMALS_CLASSES] == ['plant']
    assert {NORMALS_CLASSES[KINDS[kind].context] for kind in ('wall', 'floor', 'door')} == {'wall', 'floor', 'door'}
