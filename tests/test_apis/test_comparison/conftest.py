"""A small plan on small rooms."""

from pathlib import Path

import pytest

from tests.tiny import TRAINING, write_rooms, write_tiny

HARD_SHARING = """
model['decode_head'] = dict(_delete_=True, type='MultiTaskFCNHead', in_channels=[16], in_index=[1], embed_dims=8)
model['criterion'] = dict(_delete_=True, type='MultiTaskCriterion')
"""
PLAN = """
systems = dict(
    sharing='sharing.py',
    mlore=dict(config='tiny.py'),
    broken=dict(config='tiny.py', cfg_options={'model.decode_head.in_channels': [8, 16, 32, 63]}),
)
single_task = 'sharing.py'
budget = dict(iterations=4)
seeds = [0]
tasks = ['depth', 'semseg']
data = dict(name='noise', cfg_options={'train_dataloader.num_workers': 0})
"""


@pytest.fixture(scope='module')
def plan(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('comparison')
    data = write_rooms(folder / 'rooms', 2)
    write_tiny(folder, data, TRAINING)
    (folder / 'sharing.py').write_text((folder / 'tiny.py').read_text() + HARD_SHARING)
    (folder / 'plan.py').write_text(PLAN)
    return folder / 'plan.py'
