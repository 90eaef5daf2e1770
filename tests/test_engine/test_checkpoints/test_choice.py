"""Files that people hand over: nothing in them runs, and nothing is taken in part without a word."""

import os
import pickle

import pytest
import torch
from mmengine.logging import MMLogger

from mlore_mm.engine.checkpoints import choose_checkpoint, weights_only
from mlore_mm.registry import RUNNERS
from tests.test_engine.test_runner import load


class Command:
    """Reading it runs a command."""

    def __init__(self, trap):
        self.trap = trap

    def __reduce__(self):
        return os.mkdir, (str(self.trap),)


@pytest.fixture
def stranger(tmp_path):
    """A checkpoint with a trap, and the folder that it would make."""
    trap = tmp_path / 'trap'
    weights = RUNNERS.build(load(tmp_path)).model.state_dict()
    meta = dict(iter=2, epoch=0, tasks=['semseg', 'depth', 'normals'], note=Command(trap))
    torch.save(dict(state_dict=weights, meta=meta), tmp_path / 'stranger.pth')
    yield tmp_path / 'stranger.pth'
    assert not trap.exists()


REFUSED = r'stranger.pth was not read: it holds .*mkdir.*only be read by running code'


@pytest.mark.parametrize('options', [dict(load_from='{}'), dict(load_from='{}', resume=True)])
def test_training_refuses_code(tmp_path, stranger, options):
    options = {key: value.format(stranger) if isinstance(value, str) else value for key, value in options.items()}
    with pytest.raises(ValueError, match=REFUSED):
        RUNNERS.build(load(tmp_path, **options)).train()


def test_testing_refuses_code(tmp_path, stranger):
    with pytest.raises(ValueError, match=REFUSED):
        RUNNERS.build(load(tmp_path, load_from=str(stranger))).test()


def test_resuming_from_a_folder_refuses_code(tmp_path, stranger):
    (tmp_path / 'work').mkdir(exist_ok=True)
    stranger.rename(tmp_path / 'work/iter_2.pth').with_name('last_checkpoint').write_text('iter_2.pth')
    with pytest.raises(ValueError, match='iter_2.pth was not read'):
        RUNNERS.build(load(tmp_path, resume=True)).train()


def test_pretrained_weights_refuse_code(tmp_path, stranger):
    init = dict(type='Pretrained', checkpoint=str(stranger))
    runner = RUNNERS.build(load(tmp_path))
    runner.model.init_cfg, runner.model._is_init = init, False
    with pytest.raises(ValueError, match='was not read'):
        runner.train()


def test_inside_nobody_can_ask_for_more(tmp_path):
    (tmp_path / 'x.pth').write_bytes(pickle.dumps(Command(tmp_path / 'trap')))
    with pytest.raises(ValueError, match='x.pth was not read'), weights_only('x.pth'):
        torch.load(tmp_path / 'x.pth', weights_only=False)
    assert not (tmp_path / 'trap').exists()
    assert 'TORCH_FORCE_WEIGHTS_ONLY_LOAD' not in os.environ


def test_a_test_with_some_of_the_weights_is_refused(tmp_path):
    weights = RUNNERS.build(load(tmp_path)).model.state_dict()
    del weights['heads.depth.weight']
    weights['heads.semseg.bias'] = torch.zeros(7)
    torch.save(weights, tmp_path / 'part.pth')
    with pytest.raises(ValueError, match=r'part.pth lacks 2 of .*heads.semseg.bias .*, heads.depth.weight'):
        RUNNERS.build(load(tmp_path, load_from=str(tmp_path / 'part.pth'))).test()


def test_the_checkpoint_asked_for_has_to_be_whole(tmp_path):
    torch.save(dict(a=torch.zeros(100)), tmp_path / 'x.pth')
    assert choose_checkpoint(str(tmp_path), str(tmp_path / 'x.pth')) == str(tmp_path / 'x.pth')
    (tmp_path / 'x.pth').write_bytes((tmp_path / 'x.pth').read_bytes()[:300])
    with pytest.raises(ValueError, match='x.pth cannot be used: 300 bytes that are cut short .* --resume alone'):
        choose_checkpoint(str(tmp_path), str(tmp_path / 'x.pth'))
    assert choose_checkpoint(str(tmp_path), None) is None
    for path in ('https://somewhere/x.pth', str(tmp_path / 'x.safetensors')):  # neither is an archive here
        assert choose_checkpoint(str(tmp_path), path) == path


def test_damaged_ones_are_named_in_the_log(tmp_path, caplog):
    for step in (1, 2):
        torch.save(dict(a=torch.zeros(100)), tmp_path / f'iter_{step}.pth')
    (tmp_path / 'iter_2.pth').write_bytes(b'')
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    assert choose_checkpoint(str(tmp_path), None).endswith('iter_1.pth')
    logger.removeHandler(caplog.handler)
    assert 'iter_2.pth cannot be used: 0 bytes' in caplog.text
