"""Misspelt and misplaced settings: each is named with the right name, before anything is built."""

import logging
import re

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mlore_mm.apis import load_config
from mlore_mm.apis.training.overrides import apply_overrides
from mlore_mm.engine.config_check import check_config, check_names, idle_settings
from mlore_mm.registry import RUNNERS
from mlore_mm.tasks import bind_tasks
from tests.shared import REPO
from tests.test_engine.test_runner import load

CONFIGS = sorted(path for path in (REPO / 'configs').rglob('*.py') if not {'_base_', 'plans'} & set(path.parts))
CONFIG = str(REPO / 'configs/mlore/mlore_tiny_synthrooms_nyud.py')

# Setting to the name that is meant, or what the message says.
TOP = {
    'task_name': 'task_names',
    'eval_task': 'eval_tasks',
    'taks.edge.loss_weight': 'tasks',
    'train_dataloder.batch_size': 'train_dataloader',
    'optim_wraper.clip_grad.max_norm': 'optim_wrapper',
    'custom_hoks': 'custom_hooks',
    'load_form': 'load_from',
    'find_unused_parameter': 'find_unused_parameters',
    'randomnes.seed': 'randomness',
    'workdir': 'work_dir',
    'log_levl': 'log_level',
    'runner_typ': 'runner_type',
    'crop_sze': 'crop_size',
}
KEYS = {
    'model.decode_hed.top_k': 'decode_head',
    'model.decode_head.topk': 'top_k',
    'model.decode_head.rank': 'ranks',
    'model.decode_head.num_experts': 'It takes ',
    'model.decode_head.gate.nois': 'noise',
    'model.backbone.dept': 'depth',
    'model.gradient_surgry': 'gradient_surgery',
    'model.test_cfg.mod': 'mode',
    'model.test_cfg.crop_sise': 'crop_size',
    'model.train_cfg.foo': 'It takes step',
    'model.criterion.weightng': 'weighting',
    'model.criterion.auxiliary_losses.load_balance.loss_wieght': 'loss_weight',
    'model.data_preprocessor.men': 'mean',
    'tasks.edge.loss_wieght': 'loss_weight',
    'tasks.edge.loss.pos_wieght': 'pos_weight',
    'tasks.edge.metric.max_dst': 'max_dist',
    'train_dataloader.batchsize': 'batch_size',
    'train_dataloader.dataset.lables.semseg.dir': 'labels',
    'train_dataloader.dataset.data_prefix.image': 'img',
    'train_dataloader.dataset.labels.semseg': dict(type='IdMapReader', dirr='x'),
    'train_dataloader.dataset.pipeline.4.prb': 'prob',
    'train_dataloader.sampler.shufle': 'shuffle',
    'val_evaluator.baseline.depth': 'baselines',
    'val_evaluator.baselines.dpeth': 'depth',
    'optim_wrapper.acumulative_counts': 'accumulative_counts',
    'optim_wrapper.constructr': 'constructor',
    'optim_wrapper.optimizer.lrr': 'lr',
    'optim_wrapper.clip_grad.max_nrm': 'max_norm',
    'optim_wrapper.paramwise_cfg.custom_keyz.backbone.lr_mult': 'custom_keys',
    'param_scheduler.0.powr': 'power',
    'auto_scale_lr.base_batchsize': 'base_batch_size',
    'default_hooks.checkpoint.intervall': 'interval',
    'default_hooks.checkpoint.max_keep_ckpt': 'max_keep_ckpts',
    'default_hooks.chekpoint.interval': 'checkpoint',
    'visualizer.vis_backend': 'vis_backends',
    'log_processor.by_epochs': 'by_epoch',
    'env_cfg.cudnn_benchmrk': 'cudnn_benchmark',
    'env_cfg.mp_cfg.mp_start': 'mp_start_method',
    'randomness.sed': 'seed',
    'train_cfg.max_iter': 'max_iters',
    'val_cfg.typ': 'type',
    'tasks.dept.loss_weight': 'tasks.depth',
    'tasks.depth.loss.beta': 'MaskedL1Loss takes no ',
    'model.backbone.norm_cfg.requires_gradd': 'requires_grad',
    'env_cfg.dist_cfg.backnd': 'backend',
    'tta_pipeline.1.transform': 'transforms',
}
VALUES = {
    'optim_wrapper.optimizer.type': ('AdamWW', "Did you mean 'AdamW'"),
    'optim_wrapper.type': ('AmpOptimWraper', "'AmpOptimWrapper'"),
    'model.decode_head.type': ('MLoREDecodHead', "'MLoREDecodeHead'"),
    'model.backbone.type': ('mmseg.ResNett', "'ResNet'"),
    'tasks.edge.type': ('Edg', "'Edge'"),
    'tasks.edge.loss.type': ('BalancedBCE', "'BalancedBCELoss'"),
    'train_dataloader.sampler.type': ('ResumeableSampler', "'ResumableSampler'"),
    'train_dataloader.dataset.pipeline.4.type': ('MultiTaskFlip', 'MultiTaskRandomFlip'),
    'param_scheduler.0.type': ('PolyLr', "'PolyLR'"),
    'val_evaluator.type': ('MultiTaskEvaluater', "'MultiTaskEvaluator'"),
    'train_cfg.type': ('IterBasedTrainLop', "'IterBasedTrainLoop'"),
    'custom_hooks': (['RoutingHook'], r"custom_hooks.0 is 'RoutingHook', expected dict\(type='RoutingHook'\)"),
    'default_hooks.checkpoint.save_best': ('semseg/miou', "'semseg/mIoU'"),
    'model.frozen_backbone': ('false', "is the text 'false', expected bool"),
    'tasks.depth.interpolation': ('bilinaer', "expected one of .*'bilinear'"),
    'tasks.semseg.out_channels': ('40', "is the text '40', expected int"),
    'tasks.depth.loss_weight': ('4', "is the text '4', expected float"),
    'optim_wrapper.optimizer.lr': ('1e-x', 'expected a number'),
    'resume': ('yes', "is the text 'yes', expected bool"),
    'val_evaluator.baselines.depth': (-1, 'expected a number above 0'),
    'train_cfg.max_iters': (-1, 'is -1, expected 1 or more'),
    'max_iters': (-1, 'train_cfg.max_iters is -1'),
    'train_cfg.val_interval': (0, 'is 0, expected 1 or more'),
    'train_cfg.by_epoch': (True, '`type` and `by_epoch`'),
    'resume_settings': ('confg', "Did you mean 'config'"),
    'log_level': ('DEBGU', "Did you mean 'DEBUG'"),
    'default_scope': ('mmsegg', "Did you mean 'mmseg'"),
    'sync_bn': ('torchh', "Did you mean 'torch'"),
    'env_cfg.mp_cfg.mp_start_method': ('frok', "Did you mean 'fork'"),
    'randomness.seed': ('zero', "is the text 'zero', expected a number"),
    'crop_size': (128, 'pipeline.3.crop_size is 128, expected 2 numbers'),
    'scale_range': ((2.0, 0.5), 'ratio_range needs 0 < low <= high'),
    'train_dataloader.dataset.pipeline.4.prob': (1.5, 'pipeline.4.prob is 1.5, expected 1 at most'),
    'test_dataloader.dataset.indices': ('ten', "is the text 'ten', expected int or a list of int"),
    'model.test_cfg.mode': ('slid', "Did you mean 'slide'"),
    'model.test_cfg.resize': ('prediction', "Did you mean 'predictions'"),
    'model.train_cfg.step': ('one_by_on', "Did you mean 'one_by_one'"),
    'model.backbone.norm_cfg.type': ('BNN', "Did you mean 'BN'"),
    'tasks.depth.headline': ('RMSEE', "Did you mean 'RMSE'"),
    'tasks.depth.metric.min_depth': (90, 'tasks.depth.metric: DepthMetric needs 0 <= min_depth'),
    'tasks.edge.metric.workers': (-1, 'workers must be 0'),
    'optim_wrapper.clip_grad': (10, 'clip_grad is 10, expected dict'),
    'param_scheduler': ([dict(power=0.9)], 'param_scheduler.0 has no `type`'),
    'param_scheduler.0.begin': (-3, 'is -3, expected 0 or more'),
    'default_hooks.nonfinite.action': ('skipp', "default_hooks.nonfinite: action .* got 'skipp'"),
    'default_hooks.checkpoint.rule': ('bigger', 'rule must be greater, less or None'),
    'default_hooks.checkpoint.interval': (0, 'interval is 0, expected 1 or more, or -1'),
    'randomness': ('zero', "randomness is 'zero', expected a dict with keys such as seed"),
    'randomness.deterministic': ('no', "is the text 'no', expected bool"),
    'compile': (dict(mod='x'), "compile.mod: torch.compile takes no 'mod'. Did you mean 'mode'"),
    'default_hooks': (5, r"default_hooks is 5, expected a list such as .dict.type='EMAHook'"),
    'default_hooks.mine': (dict(every=1), r'default_hooks.mine has no `type`.* Give it one: dict\(type'),
    'train_dataloader': (5, r'train_dataloader is 5, expected dict\(batch_size='),
    'val_cfg': (5, r"val_cfg is 5, expected dict\(type='...'\)"),
    'log_processor': (dict(type='LogProcessor', custom_cfg=5), r'custom_cfg is 5, expected \[dict\(data_src='),
    'optim_wrapper.clip_grad.type': ('value', "clip_grad.max_norm: clipping takes no 'max_norm'"),
    'optim_wrapper.constructor': (
        'TrainableConstructor',
        "Did you mean 'TrainableOptimWrapperConstructor'",
    ),
}

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

# Settings of other forms or out of their range; all are named in one message.
OUT_OF_RANGE = {
    'optim_wrapper.clip_grad.max_norm': (-1, 'is -1, expected a number above 0'),  # would turn the gradients round
    'optim_wrapper.paramwise_cfg.layer_decay': (1.5, 'is 1.5, expected 1 at most'),
    'optim_wrapper.paramwise_cfg.custom_keys.backbone': (0.1, 'is 0.1, expected a dict with keys such as lr_mult'),
    'model.data_preprocessor.size_divisor': (0, 'is 0, expected 1 or more'),
    'model.train_cfg.step': (1, 'is 1. It is one of'),
    'param_scheduler.0.eta_min': (-1, 'is -1, expected 0 or more'),
    'param_scheduler.0.power': (-1, 'is -1, expected 0 or more'),
    'auto_scale_lr.enable': ('yes', "is the text 'yes', expected bool"),
    'val_dataloader.dataset.missing_labels': ('rase', "Did you mean 'raise'"),
    'val_dataloader.dataset.on_error': ('skp', "Did you mean 'skip'"),
    'train_cfg.val_begin': (-1, 'is -1, expected 0 or more'),
    'train_cfg.dynamic_intervals': ([(1,)], r'expected pairs \[\(iteration, val_interval\)'),
    'train_dataloader.batch_size': (2.5, 'is 2.5, expected a whole number'),
    'train_dataloader.prefetch_factor': (0, 'is 0, expected 1 or more'),
    'train_dataloader.drop_last': ('no', "is the text 'no', expected bool"),
    'train_dataloader.shuffle': (True, 'does nothing beside a sampler. Set train_dataloader.sampler.shuffle'),
    'train_dataloader.collate_fn': (dict(type='pseudo_colate'), "Did you mean 'pseudo_collate'"),
    'train_dataloader.dataset.pipeline.6.size': ((0, 160), 'CentrePad needs size='),
    'tta_pipeline.1.transforms.0.0.scale_factor': (-1.0, 'is -1.0, expected a number above 0'),
    'default_hooks.interval': (5, r"is 5, expected dict\(type='...'\)"),
    'default_hooks.labels.samples': (-3, 'is -3, expected 0 or more'),
    'default_hooks.checkpoint.max_keep_ckpts': (0, 'max_keep_ckpts is 0'),
    'custom_hooks': ([dict(type='EarlyStoppingHook', monitor='semseg/miou')], "monitor is .* mean 'semseg/mIoU'"),
    'feature_cache': (True, 'is True, expected a dict with keys such as path'),
    'env_cfg.cudnn_benchmark': ('on', "is the text 'on', expected bool"),
    'env_cfg.mp_cfg.opencv_num_threads': ('two', "is the text 'two', expected int"),
    'sync_bn': (True, r'is True. It is one of'),
    'compile': ('yes', "is 'yes', expected True or"),
    'load_from': (5, 'is 5, expected str'),
    'work_dir': (7, 'is 7, expected str'),
    'tta_model.module': (3, 'the model of the config is put there'),
    'visualizer.name': (3, 'is 3, expected a text'),
    'log_processor.window_size': (0, 'is 0, expected a whole number above 0'),
    'log_processor.by_epoch': ('no', "is the text 'no', expected bool"),  # no annotation, by its default
    'log_processor.custom_cfg': ([dict(data_src='loss', method_name='mena')], "method_name is 'mena'. Did you mean"),
    'param_scheduler.0.begin': ('two', "is the text 'two', expected int"),
}

# Constructors that are tried once nothing else is wrong.
TRIED = {
    'optim_wrapper.optimizer.betas': ((0.9, 1.9), 'optim_wrapper.optimizer: Invalid beta parameter'),
    'optim_wrapper.optimizer.eps': (-1, 'optim_wrapper.optimizer: Invalid epsilon'),
    'param_scheduler.0.begin': (900, 'param_scheduler.0: .*end should be larger than begin'),
    'optim_wrapper': (
        dict(type='AmpOptimWrapper', optimizer=dict(type='Adam', lr=1e-3), dtype='float17', loss_scale='dynamc'),
        "2 mistakes:\n- optim_wrapper.loss_scale .* mean 'dynamic'.*\n- optim_wrapper.dtype .* mean 'float16'",
    ),
    'tasks.depth.dtype': ('float31', "Task 'depth' has dtype='float31'"),
    'model.aux_tasks': (['edge'], 'model.aux_tasks: it is taken from `aux_tasks` at the top'),
    'model.test_cfg.tasks': (['edge'], 'model.test_cfg.tasks: it is taken from `eval_tasks` at the top'),
    'tasks.normals.out_channels': (1, "Task 'normals' predicts vectors x, y, z"),
    'train_dataloader.dataset.labels.depth.ignor': (
        (0,),
        "labels.depth.ignor: .* takes no 'ignor'. Did you mean 'ignore'",
    ),
    'tasks.edge.metric.max_dist': (-1, 'max_dist is a part of the image'),
    'param_scheduler': (
        [dict(type='LinearLR', start_factor=0, by_epoch=False)],
        'param_scheduler.0.start_factor is 0, expected a number above 0',
    ),
    'tasks.edge.metric.thresholds': (0, 'thresholds: one or more numbers in 0..1'),
}


@pytest.fixture(scope='module')
def config():
    return Config.fromfile(CONFIG)


def check(cfg) -> None:
    check_names(cfg)
    check_config(bind_tasks(cfg))


def changed(config: Config, key: str, value) -> Config:
    cfg = Config(config.to_dict(), cfg_text=config.text)
    apply_overrides(cfg, {key: value})
    return cfg


@pytest.mark.parametrize('key', TOP)
def test_names_of_the_top_level(config, key):
    with pytest.raises(ValueError, match=f"{key.split('.')[0]}.*Did you mean '{TOP[key]}'"):
        check(changed(config, key, 1))  # in a leaf, or by a script of mmsegmentation
    with pytest.raises(ValueError, match=f"{key}.*Did you mean '{TOP[key]}'"):
        load_config(CONFIG, cfg_options={key: 1})


@pytest.mark.parametrize('key', KEYS)
def test_keys_of_parts(config, key):
    meant = KEYS[key]
    if isinstance(meant, dict):
        with pytest.raises(ValueError, match="dirr: IdMapReader takes no 'dirr'. Did you mean 'dir'"):
            check(changed(config, key, meant))
        return
    pattern = meant if ' ' in meant else f'Did you mean .*{meant}'
    with pytest.raises(ValueError, match=pattern):
        check(changed(config, key, 1))


@pytest.mark.parametrize('key', VALUES)
def test_classes_and_values(config, key):
    value, message = VALUES[key]
    with pytest.raises(ValueError, match=message):
        check(changed(config, key, value))


@pytest.mark.parametrize(('key', 'value', 'message'), WHOLE)
def test_whole_entries(config, key, value, message):
    cfg = Config(config.to_dict(), cfg_text=config.text)
    cfg[key] = value
    with pytest.raises(ValueError, match=message):
        check(cfg)


def test_values_out_of_their_range(config):
    cfg = config
    for key, (value, _) in OUT_OF_RANGE.items():
        cfg = changed(cfg, key, value)
    with pytest.raises(ValueError, match=f'has {len(OUT_OF_RANGE)} mistakes') as error:
        check(cfg)
    lines = str(error.value).splitlines()[1:]
    for key, (_, message) in OUT_OF_RANGE.items():
        place = key.removesuffix('.max_keep_ckpts').removesuffix('.size')
        found = [line for line in lines if line.startswith(f'- {place}')]
        assert any(re.search(message, line) for line in found), (key, found)


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


@pytest.mark.parametrize('key', TRIED)
def test_what_constructors_say(config, key):
    value, message = TRIED[key]
    with pytest.raises(ValueError, match=message):
        check(changed(config, key, value))


def test_what_a_training_never_comes_to_is_told(config):
    cfg = bind_tasks(Config(config.to_dict()))
    assert idle_settings(cfg) == []
    cfg.train_cfg.val_begin = 2000
    cfg.param_scheduler.append(dict(type='PolyLR', by_epoch=False, begin=500, end=900))
    first, second = idle_settings(cfg)
    assert first.startswith('train_cfg.val_begin is 2000, more than max_iters=500: there is no validation')
    assert second.startswith('param_scheduler.1 begins at 500, after the end')
    check_config(cfg)


def test_what_counts_epochs_in_a_training_by_iterations(config):
    """mmengine's default: the rate would stay as it is, and nothing would be saved before the end."""
    cfg = changed(config, 'param_scheduler', [dict(type='PolyLR', power=0.9, end=500)])
    cfg.default_hooks.checkpoint.pop('by_epoch')
    with pytest.raises(
        ValueError, match=r'2 mistakes:\n- param_scheduler.0 counts epochs.*\n- default_hooks.checkpoint co'
    ):
        check(cfg)
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=2)
    check(cfg)


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


def test_variables_of_a_config_are_fine(tmp_path, caplog):
    (tmp_path / 'mine.py').write_text(
        f'_base_ = {CONFIG!r}\ntask_name = "depth"\ntask_names = [task_name]\n_custom_hok = 1\nnote = "unused"\n'
        'custom_hoks = dict(batch_size=2)\ntrain_dataloader = dict(**custom_hoks)\nbatch = 3\n'
        "val_dataloader = dict(batch_size='$batch')\n"
    )
    with caplog.at_level(logging.WARNING, 'mmengine'):
        cfg = load_config(str(tmp_path / 'mine.py'), cfg_options={'batch': 4})
        check(cfg)
    assert cfg.val_dataloader.batch_size == 4
    with pytest.raises(ValueError, match=r"task_name: the config copied its variable.*write '\$task_name'"):
        load_config(str(tmp_path / 'mine.py'), cfg_options={'task_name': 'edge'})


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
