"""Makes compact.npz and compact.json from the full reference logits: python tests/data/metrics/make.py GOLDEN OUT

The full reference holds logits, labels and what the published losses and metrics give for them. Here class scores
become their argmax, saliency logits their difference, and all numbers are rounded to small integers; the rounding
changes losses and errors by less than 1e-3 of their value, and no count of human parts.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

STEP = dict(sal=0.1, edge=0.1, depth=0.02)  # of rounded logits; metres for depth

golden, out = Path(sys.argv[1]), Path(sys.argv[2])
arrays, expected = {}, {}
for name, kept in dict(pascal=('human_parts', 'sal'), nyud=('edge', 'depth')).items():
    stored = torch.load(golden / f'{name}_logits_targets.pth', weights_only=True)
    numbers = json.loads((golden / f'{name}_expected.json').read_text())
    for task in kept:
        logits, target = stored['logits'][task].numpy(), stored['targets'][task].numpy()
        if task == 'human_parts':
            arrays[f'{task}_logits'] = logits.argmax(axis=1, keepdims=True).astype(np.uint8)
        else:
            logits = logits[:, 1:] - logits[:, :1] if task == 'sal' else logits
            arrays[f'{task}_logits'] = np.round(logits / STEP[task]).astype(np.int16)
        scale = 1000 if task == 'depth' else 1
        arrays[f'{task}_target'] = np.round(target * scale).astype(np.uint16 if task == 'depth' else np.uint8)
        expected[task] = dict(metric=numbers['metrics'][task], loss=numbers['losses'][task])
np.savez_compressed(out / 'compact.npz', **arrays)
(out / 'compact.json').write_text(json.dumps(expected, indent=1) + '\n')
