"""Hostile requests to the demo page, and a table of what they were answered.

Example, which ends with status 1 where one answer is not right:
    python .dev_scripts/page_attack.py
"""

import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / 'demo')]

from tests.hostile_page import Server, ask, photo, plant, requests  # noqa: E402


def main() -> int:
    counts, wrong = Counter(), []
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder)) as server:
        places = plant(server, Path(folder) / 'private')
        upload = server.upload(photo())
        for request in requests(places, upload):
            found = ask(server, request)
            counts[request.group, found] += 1
            if found not in request.allowed:
                wrong.append(f'{request.group}, {request.name}: {found}, right: {" or ".join(request.allowed)}')
            if request.group.startswith('upload'):
                upload = server.upload(photo())
    print(f'{"requests":24}{"answer":12}{"count":>5}')
    for (group, answer), count in sorted(counts.items()):
        print(f'{group:24}{answer:12}{count:5}')
    print(f'{sum(counts.values())} requests, {len(wrong)} answers that are not right')
    print('\n'.join(wrong))
    return bool(wrong)


if __name__ == '__main__':
    sys.exit(main())
