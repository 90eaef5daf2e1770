"""Problems of single files, told by kind and not by file."""

import re
from collections.abc import Iterable, Sequence

_SHOWN = 3
_PATH = re.compile(r'\S*/\S*')
_NUMBER = re.compile(r'-?\d+(\.\d+)?')


def group_problems(problems: Iterable[str]) -> list[list[str]]:
    """Messages that differ in names and numbers only belong together; in the order of the first of each kind."""
    groups: dict[str, list[str]] = {}
    for problem in problems:
        groups.setdefault(_NUMBER.sub('#', _PATH.sub('*', problem)), []).append(problem)
    return list(groups.values())


def summarize_problems(problems: Iterable[str]) -> list[str]:
    """One text per kind of problem: the first message, how many more there are and where, and what cures it."""
    lines = []
    for group in group_problems(problems):
        text = group[0]
        if len(group) > 1:
            names = [(_PATH.findall(problem) or ['?'])[0].rstrip('.,:') for problem in group[1:]]
            shown = ', '.join(names[:_SHOWN]) + (f' and {len(names) - _SHOWN} others' if len(names) > _SHOWN else '')
            text += f'\n  and {len(group) - 1} more of this kind: {shown}'
        cure = cure_of(group)
        lines.append(text + (f'\n  to cure it: {cure}' if cure else ''))
    return lines


def cure_of(group: Sequence[str]) -> str:
    """The option that helps against a kind of problem, '' where there is none."""
    if 'class ids 0 to' in group[0]:
        found = sorted({int(value) for problem in group for value in _found(problem)})
        ids = ', '.join(map(str, found[:8])) + (',' if len(found) == 1 else '')
        return (
            f'ignore=({ids}) of the label reader if they mean no label (before `offset`: the numbers in the file), '
            f'`id_map` or `offset` if the classes are numbered otherwise, `out_channels` if there are more of them'
        )
    if 'stand for no class here' in group[0]:
        found = sorted({int(x) for problem in group for x in re.findall(r'\d+', problem.split('holds the values')[-1])})
        return f'ignore={tuple(found[:8])} of the label reader if they mean no label'
    if 'They have to agree' in group[0] and 'rotation' in group[0]:
        return 'turn the photos or the labels, and remove the EXIF tag'
    return ''


def _found(problem: str) -> list[str]:
    return re.findall(r'\d+', problem.rpartition('found')[2])
