"""The order in which tasks are joined to one tensor, where it is part of a checkpoint."""

from collections.abc import Iterable

# As the code of Vandenhende et al. (TPAMI 2021) joins tasks, whatever the order in its config.
PUBLISHED_ORDER = ('semseg', 'human_parts', 'sal', 'normals', 'edge', 'depth')


def in_order(names: Iterable[str], order: Iterable[str] | None = None) -> list[str]:
    """``names`` in the given order, the published one by default; those that it does not name follow as they come."""
    names = list(names)
    first = [name for name in (PUBLISHED_ORDER if order is None else order) if name in names]
    return [*first, *(name for name in names if name not in first)]
