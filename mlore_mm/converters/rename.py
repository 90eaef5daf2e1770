"""Tables of key patterns: from somebody's checkpoint layout to ours and back."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

# What a pattern's pieces stand for. The same piece in both patterns of a row is carried over as it stands.
PIECES = {
    **dict.fromkeys('ijk', r'\d+'),  # indices
    **dict.fromkeys('tu', r'\w+'),  # names of tasks
    'p': r'weight|bias|running_mean|running_var|num_batches_tracked',
    'rest': r'.+',
}
Value = TypeVar('Value')  # a tensor, or whatever else is kept by key, such as a norm of a gradient


class KeyTable:
    """Which key of a published checkpoint is which of ours.

    The first row that fits the whole key decides. Tables work on any mapping keyed like a state dict, so gradients
    can be compared across layouts as well as weights.

    Args:
        rows: Pairs (published pattern, our pattern), as in ``('head.{t}.{p}', 'decode_head.{t}.{p}')``.
            Both have the same pieces, see :data:`PIECES`.
        unused: Regular expression of keys that a file holds and the model never uses, and why they are left out.
        prefix: Begins every published key, or none of them, as ``module.`` does.
        name: Of the system, for messages.

    Raises:
        ValueError: The two sides of a row have different pieces.
    """

    def __init__(
        self,
        rows: Iterable[tuple[str, str]],
        unused: Mapping[str, str] | None = None,
        prefix: str = 'module.',
        name: str = 'known',
    ) -> None:
        rows = tuple(rows)
        for row in rows:
            pieces = [sorted(set(re.findall(r'{(\w+)}', side))) for side in row]
            if pieces[0] != pieces[1]:
                raise ValueError(f'Both sides of {row} need the same pieces, but have {pieces[0]} and {pieces[1]}.')
        self.unused = {re.compile(pattern): reason for pattern, reason in (unused or {}).items()}
        self.prefix, self.name = prefix, name
        self._to_ours, self._to_published = _compile(rows, 0), _compile(rows, 1)

    def for_tasks(self, tasks: Sequence[str]) -> 'KeyTable':
        """The table for a model of these tasks; the same one, unless the published layout numbers its tasks."""
        return self

    def ours(self, key: str) -> str | None:
        """Our key of a published one without its prefix; None where no row fits."""
        return _rename(key, self._to_ours)

    def published(self, key: str) -> str | None:
        """The published key, without prefix, of one of ours; None where no row fits."""
        return _rename(key, self._to_published)

    def to_ours(self, state: Mapping[str, Value]) -> tuple[dict[str, Value], dict[str, str]]:
        """Published layout to ours.

        Returns:
            Values by our key, and the keys left out with the reason.

        Raises:
            ValueError: A key that is neither known nor known to be unused.
        """
        ours, left_out, unknown = {}, {}, []
        for full_key, value in state.items():
            key = full_key.removeprefix(self.prefix)
            if reason := next((why for pattern, why in self.unused.items() if pattern.match(key)), None):
                left_out[full_key] = reason
            elif new := self.ours(key):
                ours[new] = value
            else:
                unknown.append(full_key)
        if unknown:
            raise ValueError(
                f'{len(unknown)} keys of the checkpoint are unknown, so nothing was converted: {unknown[:10]}. It is '
                f'not a {self.name} checkpoint, or one of a version that this converter does not know.'
            )
        return ours, left_out

    def to_published(self, state: Mapping[str, Value]) -> dict[str, Value]:
        """Our layout to the published one, with the prefix.

        Raises:
            ValueError: A key without a counterpart.
        """
        unknown = [key for key in state if self.published(key) is None]
        if unknown:
            raise ValueError(f'{len(unknown)} keys have no counterpart in the {self.name} layout: {unknown[:10]}.')
        return {self.prefix + self.published(key): value for key, value in state.items()}


def _compile(rows: Sequence[tuple[str, str]], source: int) -> list[tuple[re.Pattern, str]]:
    """(pattern of the source side, template of the other side) of every row."""
    table = []
    for row in rows:
        pattern = re.escape(row[source]).replace(r'\{', '{').replace(r'\}', '}')
        for piece, regex in PIECES.items():
            first, *others = pattern.split(f'{{{piece}}}')
            if others:  # a piece that stands twice is the same text twice
                pattern = f'{first}(?P<{piece}>{regex})' + f'(?P={piece})'.join(others)
        table.append((re.compile(pattern), row[1 - source]))
    return table


def _rename(key: str, table: Sequence[tuple[re.Pattern, str]]) -> str | None:
    for pattern, template in table:
        if match := pattern.fullmatch(key):
            return template.format(**match.groupdict())
    return None
