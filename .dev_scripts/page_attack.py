"""Hostile requests to the demo page, and a table of what they were answered.

Example, which ends with status 1 where one answer is not right, or where the page opened a file that is neither an
upload nor result of its own, nor part of an installed package:
    python .dev_scripts/page_attack.py
"""

import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / 'demo')]

from tests.hostile_page import Server, ask, photo, plant, requests  # noqa: E402


class Opened:
    """Files that this process opened while ``watching``, by Python's own auditing; it cannot be taken off again."""

    def __init__(self) -> None:
        self.paths: set[str] = set()
        self.watching = False
        sys.addaudithook(self)

    def __call__(self, event: str, args: tuple) -> None:
        if self.watching and event == 'open' and isinstance(args[0], (str, bytes, os.PathLike)):
            name = os.fsdecode(args[0])
            if os.path.isabs(name):  # others are relative to an open folder, when one is removed
                self.paths.add(os.path.realpath(name))

    def outside(self, *folders: Path | str) -> list[str]:
        """Those that are in none of the folders."""
        known = [Path(os.path.realpath(folder)) for folder in folders]
        return sorted(path for path in self.paths if not any(Path(path).is_relative_to(folder) for folder in known))


def main() -> int:
    counts, wrong, opened = Counter(), [], Opened()
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder)) as server:
        places = plant(server, Path(folder) / 'private')
        upload = server.upload(photo())
        for request in requests(places, upload):
            opened.watching = True
            found = ask(server, request)
            opened.watching = False
            counts[request.group, found] += 1
            if found not in request.allowed:
                wrong.append(f'{request.group}, {request.name}: {found}, right: {" or ".join(request.allowed)}')
            if request.group.startswith('upload'):
                upload = server.upload(photo())
        uploads = server.uploads.root
    repo, private = Path(__file__).resolve().parents[1], Path(os.path.realpath(folder), 'private')
    known = (uploads, sys.prefix, sys.base_prefix, repo / 'mlore_mm', repo / 'demo', tempfile.gettempdir())
    outside = opened.outside(*known) + [path for path in opened.paths if Path(path).is_relative_to(private)]
    print(f'{"requests":24}{"answer":12}{"count":>5}')
    for (group, answer), count in sorted(counts.items()):
        print(f'{group:24}{answer:12}{count:5}')
    print(f'{sum(counts.values())} requests, {len(wrong)} answers that are not right')
    print('\n'.join(wrong))
    print(f'{len(opened.paths)} files opened meanwhile, {len(outside)} that the page had no business with')
    print('\n'.join(outside))
    return bool(wrong or outside)


if __name__ == '__main__':
    sys.exit(main())
