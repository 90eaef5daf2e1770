import re

import pytest
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mlore_mm.apis import load_config
from mlore_mm.apis.training.test import run_test
from mlore_mm.engine import TimedTestLoop
from mlore_mm.registry import LOOPS, RUNNERS
from tests.test_engine.test_runner import load
from tests.tiny import write_rooms, write_tiny


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp('test_loop')
    return write_tiny(folder, write_rooms(folder / 'rooms', 2))


def test_configs_name_it_as_mmengine_does():
    init_default_scope('mlore_mm')
    assert LOOPS.get('TestLoop') is TimedTestLoop


def test_numbers_in_bf16_are_near_and_the_log_says_where_the_time_went(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(Runner, '_log_env', lambda *args: None)  # asks compilers for their versions
    config, checkpoint = tiny
    found = {}
    for dtype in ('fp32', 'bf16'):
        mmengine = {'test_cfg.fp16': dtype == 'bf16'}  # 16 bits of the kind that the device has
        cfg = load_config(str(config), work_dir=str(tmp_path / dtype), cfg_options=mmengine)
        found[dtype], not_finite = run_test(cfg, str(checkpoint))
        assert not not_finite
    assert found['fp32'] != found['bf16'], 'bf16 was not used'
    for name, value in found['fp32'].items():
        assert found['bf16'][name] == pytest.approx(value, rel=0.05, abs=0.5, nan_ok=True), name
    log = next((tmp_path / 'fp32').rglob('*.log')).read_text()
    (line,) = re.findall(r'Time of this test: (.*)', log)
    assert re.match(r'[\d.]+ s for 2 images: load', line), line
    parts = {name: int(share) for name, share in re.findall(r'(\w+) [\d.]+ s \((\d+)%', line)}
    assert set(parts) == {'load', 'prepare', 'model', 'decode', 'metrics', 'hooks'}
    assert parts['model'] > 0


def test_hooks_are_called_around_the_test_and_every_batch(tmp_path, monkeypatch):
    runner = RUNNERS.build(load(tmp_path))
    runner.model.train()
    calls, loop = [], runner.build_test_loop(runner._test_loop)
    monkeypatch.setattr(runner, 'call_hook', lambda name, **options: calls.append((name, *options)))
    metrics = loop.run()
    assert not runner.model.training
    assert list(metrics) == ['semseg/mIoU', 'depth/RMSE', 'normals/mErr']
    batch = [('before_test_iter', 'batch_idx', 'data_batch'), ('after_test_iter', 'batch_idx', 'data_batch', 'outputs')]
    assert calls == [
        ('before_test',),
        ('before_test_epoch',),
        *batch * 3,
        ('after_test_epoch', 'metrics'),
        ('after_test',),
    ]


def test_the_type_is_that_of_the_config(tmp_path):
    runner = RUNNERS.build(load(tmp_path))
    loop = dict(dataloader=runner._test_dataloader, evaluator=runner._test_evaluator)
    assert TimedTestLoop(runner, **loop).dtype == 'fp32'
    assert TimedTestLoop(runner, **loop, dtype='bf16').dtype == 'bf16'
    with pytest.raises(ValueError, match="got 'fp8'"):
        TimedTestLoop(runner, **loop, dtype='fp8')
    assert TimedTestLoop(runner, **loop, fp16=True).dtype in ('bf16', 'fp16')
    with pytest.raises(ValueError, match="fp16=True and dtype='bf16'. Take fp16 out"):
        TimedTestLoop(runner, **loop, fp16=True, dtype='bf16')
