"""Compresses the reference numbers as they are; run in this folder with the path of golden/paddynamic."""

import lzma
import sys
from pathlib import Path

for file in sorted(Path(sys.argv[1]).glob('*.pth')):
    (Path(__file__).parent / f'{file.name}.xz').write_bytes(lzma.compress(file.read_bytes(), preset=9))
