"""Gates of the published model's first stage, from files that lie in the repository."""

import numpy as np
import torch
from torch.testing import assert_close

from mlore_mm.converters.mlore import official_to_mm
from mlore_mm.registry import MODELS
from mlore_mm.routing import trace_routing
from tests.golden_mlore import KINDS
from tests.shared import REPO

TASKS = ('semseg', 'edge')


def test_gates_of_both_blocks():
    """The second block's gates depend on every weight of the first block, for every task."""
    with np.load(REPO / 'tests' / 'data' / 'mlore' / 'pascal_stage0.npz') as stored:
        arrays = {key: torch.from_numpy(stored[key]) for key in stored.files}
    features = arrays.pop('features')
    wanted = {key.removeprefix('gates/'): arrays.pop(key) for key in list(arrays) if key.startswith('gates/')}
    head = MODELS.build(
        dict(
            type='MLoREDecodeHead',
            tasks={name: dict(type=KINDS[name]) for name in TASKS},
            in_channels=[48],
            embed_dims=24,
            ranks=list(range(2, 17)),
            task_rank=4,
            top_k=9,
            grid=(4, 6),
        )
    )
    missing, unexpected = head.load_state_dict(
        {key.removeprefix('decode_head.'): value for key, value in official_to_mm(arrays)[0].items()}, strict=False
    )
    unread = ('fusion.', 'heads.', *(f'stages.0.1.{x}' for x in ('experts', 'task_', 'generic', 'norm', 'conv_out')))
    assert not unexpected
    assert all(key.startswith(unread) for key in missing)
    with torch.no_grad(), trace_routing() as trace:
        head.eval()((features,))
    assert len(wanted) == len(trace.records) == 4
    for record in trace.records:
        block = int(record.layer[-1]) + 1
        assert_close(record.gates, wanted[f'stage0_block{block}_{record.task}'].view(2, 15), atol=1e-5, rtol=0)
        assert ((record.gates > 0).sum(dim=1) == 9).all()
