"""``init_cfg`` by the reader of all checkpoints."""

import pytest
import torch
from mmengine.model import BaseModule, initialize
from mmengine.registry import init_default_scope
from torch import nn

from mlore_mm.engine.checkpoints import CheckedPretrainedInit, check_pretrained_files
from mlore_mm.registry import WEIGHT_INITIALIZERS


class Part(BaseModule):
    def __init__(self, init_cfg=None):
        super().__init__(init_cfg)
        self.linear = nn.Linear(3, 2)


class OwnWay(Part):
    def init_weights(self):
        pass


def save(path, prefix=''):
    part = Part()
    torch.save({f'{prefix}{name}': x for name, x in part.state_dict().items()}, path)
    return part.state_dict()


def start(**init_cfg):
    init_default_scope('mlore_mm')
    part = Part(dict(type='Pretrained', **init_cfg))
    part.init_weights()
    return part.state_dict()


def test_configs_name_it_as_mmengine_does(tmp_path):
    init_default_scope('mlore_mm')
    assert WEIGHT_INITIALIZERS.get('Pretrained') is CheckedPretrainedInit
    weights = save(tmp_path / 'a.pth')
    for found in (start(checkpoint=str(tmp_path / 'a.pth')),):
        assert all(torch.equal(x, weights[name]) for name, x in found.items())
    part = Part()
    initialize(part, dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth')))
    assert torch.equal(part.linear.weight, weights['linear.weight'])


@pytest.mark.parametrize('prefix', ['backbone', 'backbone.'])
def test_a_part_of_a_file(tmp_path, prefix):
    weights = save(tmp_path / 'a.pth', 'backbone.')
    found = start(checkpoint=str(tmp_path / 'a.pth'), prefix=prefix)
    assert all(torch.equal(x, weights[name]) for name, x in found.items())


def test_a_prefix_is_a_whole_name_and_form_versions_come_along(tmp_path):
    source = nn.ModuleDict(dict(part=nn.BatchNorm1d(2), part2=nn.BatchNorm1d(2)))
    for module in source.values():
        nn.init.uniform_(module.weight)
    torch.save(source.state_dict(), tmp_path / 'a.pth')
    target, seen = nn.BatchNorm1d(2), []
    target.register_load_state_dict_pre_hook(lambda *args: seen.append(args[3]))
    CheckedPretrainedInit(str(tmp_path / 'a.pth'), prefix='part')(target)
    assert torch.equal(target.weight, source['part'].weight)
    assert seen == [dict(version=2)]


def test_what_does_not_load_is_said(tmp_path):
    path = str(tmp_path / 'a.pth')
    save(path, 'backbone.')
    with pytest.raises(ValueError, match="None of the 2 weights .*a.pth.* give prefix='backbone.'"):
        start(checkpoint=path)
    with pytest.raises(ValueError, match=r"No weight of .*a.pth begins with prefix='neck.'; there are \['backbone'\]"):
        start(checkpoint=path, prefix='neck')
    with pytest.raises(ValueError, match='There is no checkpoint lost.pth'):
        start(checkpoint='lost.pth')


def test_files_of_modules_that_load_by_themselves_are_looked_at(tmp_path):
    path = tmp_path / 'a.pth'
    save(path)
    model = nn.ModuleList([Part(), OwnWay(dict(type='Pretrained', checkpoint=str(path)))])
    check_pretrained_files(model)
    for none in ([], dict(type='Constant'), dict(type='Pretrained', checkpoint=None)):
        check_pretrained_files(OwnWay(none))
    path.write_bytes(path.read_bytes()[:-50])
    check_pretrained_files(Part(dict(type='Pretrained', checkpoint=str(path))))  # read when it is used
    with pytest.raises(ValueError, match='a.pth was not read'):
        check_pretrained_files(OwnWay([dict(type='Constant'), dict(type='Pretrained', checkpoint=str(path))]))
    with pytest.raises(ValueError, match='a.pth was not read'):
        check_pretrained_files(model)
