"""Cut the first decoder stage out of the published PASCAL-Context reference model; run from the repository root.

python -m tests.data.mlore.make
"""

import re
import tempfile
from pathlib import Path

import numpy as np
import torch

from tests.golden_mlore import load_golden

# Two of the five tasks, to keep it small. All of the first block; of the second what its router sees, so that its
# gates depend on everything in the first.
DROPPED = re.compile(r'.*(human_parts|sal|normals).*')
KEPT = re.compile(r'module\.backbone\.(fea_fuse\.0|MLoRE_1\.0|MLoRE_2\.0\.(conv1|router_1))\..*')


def main() -> None:
    golden = load_golden('pascal')
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        features = golden.model(folder).eval().extract_feat(golden.expected["input"]).shared[0]
    arrays = {key: value for key, value in golden.official.items() if KEPT.fullmatch(key)}
    gates = {f'gates/{k}': v for k, v in golden.expected['routes'].items() if k.startswith('stage0_')}
    arrays = {**arrays, **gates, 'features': features}
    arrays = {key: value.numpy() for key, value in arrays.items() if not DROPPED.fullmatch(key)}
    np.savez_compressed(Path(__file__).with_name('pascal_stage0.npz'), **arrays)


if __name__ == '__main__':
    main()
