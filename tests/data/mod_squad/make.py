"""Cuts block 0 of a model out of the reference data; run in this folder with the path of golden/modsquad."""

import json
import sys
from pathlib import Path

import torch

SOURCE, NAME = Path(sys.argv[1]), 'mlponly_tiny'
state = torch.load(SOURCE / f'{NAME}_checkpoint.pth', weights_only=True)['model']
numbers = torch.load(SOURCE / f'{NAME}_expected.pth', weights_only=True)
meta = json.loads((SOURCE / f'{NAME}_meta.json').read_text())
places = ('blocks.0.attn', 'blocks.0.mlp')
first = meta['trajectory'][0]
block = dict(
    tasks=meta['tasks'],
    weights={key: x for key, x in state.items() if key.startswith(places)},
    io={place: numbers['layers_first_task_eval'][place] for place in places},
    routes={f'{task}/{place}': numbers['routes_eval'][f'{task}/{place}'] for task in meta['tasks'] for place in places},
    terms={place: {key: first['aux_per_layer'][place][key] for key in ('MI', 'switch')} for place in places},
    top_k=first['topk_loss_weighted_per_layer_per_task']['blocks.0.mlp'],
)
torch.save(block, Path(__file__).parent / f'{NAME}_block0.pth')
