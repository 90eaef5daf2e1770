"""Misspelt and misplaced settings: each is named with the right name, before anything is built."""

import logging

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mlore_mm.registry import RUNNERS
from mlore_mm.tasks import bind_tasks
from tests.shared import REPO
from tests.test_engine.test_config_check.settings import CONFIG, changed, check
from tests.test_engine.test_runner import load

CONFIGS = sorted(path for path in (REPO / 'configs').rglob('*.py') if not {'_base_', 'plans'} & set(path.parts))

# Entries of another form than that of the config, whole.
WHOLE = [
    ('param_scheduler', dict(optimizer=[dict(type='PolyLr', by_epoch=False)]), r'param_scheduler.optimizer.0.type is'),
    ('val_evaluator', dict(type='DepthMetric', tsk='depth'), "val_evaluator.tsk: DepthMetric takes no 'tsk'"),
    (
        'optim_wrapper',
        dict(constructor='X', first=dict(type='OptimWraper')),
        'optim_wrapper.first.type is',
    ),
    ('custom_hooks', [dict(interval=1)], 'custom_hooks.0 has no `type`'),
    (
        'custom_hooks',
        [dict(type='EMAHook', priority='SOMETIME')],
        "0.priority is 'SOMETIME'. There are HIGH",
    ),
]
HOOKS = {
    'momentun': ('momentum', dict(type='EMAHook', momentun=0.1)),  # the averaged model takes it, not the hook
    'HIHG': ('HIGH', dict(type='EMAHook', priority='HIHG')),
}


@pytest.mark.parametrize(('key', 'value', 'message'), WHOLE)
def test_whole_entries(config, key, value, message):
    cfg = Config(config.to_dict(), cfg_text=config.text)
    cfg[key] = value
    with pytest.raises(ValueError, match=message):
        check(cfg)


def test_own_lines_of_the_log(config):
    good = [
        dict(data_src='loss', method_name='mean', window_size='global', log_name='mean_loss'),
        dict(data_src='loss', method_name='current'),
    ]
    check(changed(config, 'log_processor.custom_cfg', good))
    wrong = [
        dict(data_src='loss', method_nam='mean', window_size='ten'),
        dict(method_name='current', windowsize=3),
        'loss',
    ]
    with pytest.raises(ValueError, match='6 mistakes') as error:
        check(changed(config, 'log_processor.custom_cfg', wrong))
    for line in (
        "custom_cfg.0.method_nam: custom_cfg takes no 'method_nam'. Did you mean 'method_name'?",
        "custom_cfg.0.window_size is 'ten', expected a whole number above 0, or one of",
        "custom_cfg.1.windowsize: custom_cfg takes no 'windowsize'. Did you mean 'window_size'?",
        'custom_cfg.0 has no method_name.',
        'custom_cfg.1 has no data_src.',
        "custom_cfg.2 is 'loss', expected dict(data_src=",
    ):
        assert line in str(error.value), error.value


def test_a_factor_may_turn_the_sign(config):
    key = 'train_dataloader.dataset.labels.normals'
    reader = dict(type='NpyReader', dir='normals')
    check(changed(config, key, dict(reader, scale=-1)))
    for value in ('minus', {}):  # the entry is looked at
        with pytest.raises(ValueError, match=f'{key}.scale is '):
            check(changed(config, key, dict(reader, scale=value)))


def test_entries_that_are_no_dicts(config):
    with pytest.raises(ValueError, match=r'tasks.loss_weight is 2.0, but a task is a dict.*semseg'):
        check(changed(config, 'tasks.loss_weight', 2.0))
    with pytest.raises(ValueError, match="val_evaluator.0.tsk: DepthMetric takes no 'tsk'. Did you mean 'task'"):
        check(changed(config, 'val_evaluator', [dict(type='DepthMetric', tsk='depth')]))


@pytest.mark.parametrize('wrong', HOOKS)
def test_hooks_of_ones_own(config, wrong):
    meant, hook = HOOKS[wrong]
    with pytest.raises(ValueError, match=f"custom_hooks.0.*{wrong}.*Did you mean '{meant}'"):
        check(changed(config, 'custom_hooks', [hook]))
    check(changed(config, 'custom_hooks', [dict(type='EMAHook', momentum=0.1, priority='LOW', interval=2)]))


def test_keys_of_other_systems():
    for name, key, message in (
        ('m3vit/m3vit_tiny_synthrooms_nyud', 'model.backbone.arch.embed_dim', "Did you mean 'embed_dims'"),
        ('mlore/mlore_vitl_nyud_fsdp', 'strategy.model_wrapper.use_orig_parms', "Did you mean 'use_orig_params'"),
        ('mlore/mlore_vitl_nyud_fsdp', 'strategy.state_dict_cfg', "MultiTaskFSDPStrategy takes no 'state_dict_cfg'"),
    ):
        with pytest.raises(ValueError, match=message):
            check(changed(Config.fromfile(REPO / f'configs/{name}.py'), key, 1))


def test_all_mistakes_come_in_one_message(config):
    cfg = changed(changed(config, 'model.decode_head.topk', 1), 'randomness.sed', 1)
    with pytest.raises(ValueError, match=r'has 2 mistakes:\n- model.decode_head.topk.*\n- randomness.sed'):
        check(cfg)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_published_configs_pass(path, caplog):
    with caplog.at_level(logging.WARNING, 'mmengine'):
        check(Config.fromfile(path))
    assert caplog.messages == []


def test_a_bound_config_of_a_work_folder_passes(tmp_path):
    cfg = bind_tasks(Config.fromfile(CONFIG))
    cfg.task_name = 'left over'
    cfg.dump(str(tmp_path / 'dumped.py'))
    dumped = Config.fromfile(tmp_path / 'dumped.py')
    check(dumped)
    assert dumped.task_name == 'left over'  # known by none, and left alone
    dumped.model.decode_head.topk = 1
    with pytest.raises(ValueError, match='decode_head.topk'):
        check(dumped)


def test_the_runner_checks_before_it_builds(tmp_path):
    cfg = load(tmp_path)
    cfg.default_hooks.checkpoint.intervall = 1
    with pytest.raises(ValueError, match="checkpoint.intervall: .*Did you mean 'interval'"):
        RUNNERS.build(cfg)
    assert not list((tmp_path / 'work').glob('*'))
    assert not DefaultScope.check_instance_created(cfg.experiment_name)
