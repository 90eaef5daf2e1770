"""What it says before several processes are needed; trainings in several are in test_fsdp_strategy.py."""

import pytest
import torch

from mlore_mm.engine import MultiTaskFlexibleRunner, MultiTaskFSDPStrategy, MultiTaskRunner
from mlore_mm.models.layers import MLoREBlock
from mlore_mm.registry import MODELS, RUNNERS
from tests.test_engine.test_runner import load

NAME = 'mlore_mm.MultiTaskFlexibleRunner'


def test_one_process_gets_the_ordinary_runner(tmp_path):
    runner = RUNNERS.build(load(tmp_path, runner_type=NAME, strategy=dict(type='mlore_mm.MultiTaskFSDPStrategy')))
    assert type(runner) is MultiTaskRunner
    assert runner.task_names == ['semseg', 'depth', 'normals']


def test_a_launcher_needs_a_strategy(tmp_path):
    with pytest.raises(ValueError, match='needs a strategy in the config'):
        MultiTaskFlexibleRunner.from_cfg(load(tmp_path, runner_type=NAME, launcher='pytorch'))


def test_units_have_to_be_in_the_model(tmp_path):
    strategy = MultiTaskFSDPStrategy(work_dir=str(tmp_path), units=['Conv2d', 'MLoREBlok'])
    model = MODELS.build(dict(type='mmseg.FCNHead', in_channels=4, channels=4, num_classes=2))
    with pytest.raises(ValueError, match=r"\['MLoREBlok'\] \(units\), but the model has none. It has \[.*'Conv2d'"):
        strategy._unit_classes(model)
    strategy.units = None
    assert strategy._unit_classes(model) == set()


def test_units_are_recognised_by_class(tmp_path):
    """Classes or their names, with the package or without, and classes derived from them."""

    class Special(MLoREBlock):
        pass

    model = torch.nn.ModuleList([Special(['depth'], 4, [1, 2], 1, (1, 1), dict(top_k=1)), torch.nn.Conv2d(1, 1, 1)])
    strategy = MultiTaskFSDPStrategy(work_dir=str(tmp_path))
    assert strategy._unit_classes(model) == {Special}
    for unit in (MLoREBlock, 'MLoREBlock', 'mlore_mm.MLoREBlock', 'Special'):
        strategy.units = [unit]
        assert strategy._unit_classes(model) == {Special}, unit
    strategy.units = ['mmseg.MLoREBlock']
    with pytest.raises(ValueError, match="shard modules of .'mmseg.MLoREBlock'"):
        strategy._unit_classes(model)
