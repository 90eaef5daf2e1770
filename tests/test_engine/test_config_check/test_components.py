"""Keys, classes and values of parts, and ranges of numbers."""

import re

import pytest

from mlore_mm.engine.config_check.components import wrong_number
from tests.test_engine.test_config_check.settings import changed, check

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


@pytest.mark.parametrize(
    ('key', 'value', 'wrong'),
    [
        ('max_iters', 1, None), ('max_iters', 0, 'is 0, expected 1 or more'), ('max_iters', True, None),
        ('max_iters', 2.0, None), ('max_iters', 1.5, 'is 1.5, expected a whole number'), ('max_iters', None, None),
        ('max_iters', '3', "is the text '3', expected a number"), ('prob', 'x', None), ('max_iters', [1], None),
        ('max_iters', float('inf'), None), ('lr', 0, None), ('lr', 1e-9, None), ('lr', -1e-9, 'is -1e-09, '),
        ('lr', float('nan'), 'is nan, expected 0 or more'), ('max_norm', 0, 'is 0, expected a number above 0'),
        ('max_norm', 0.1, None), ('prob', 1, None), ('prob', 1.01, 'is 1.01, expected 1 at most'), ('prob', -1, None),
        ('momentum', 1, None), ('momentum', 1.1, 'is 1.1, expected 1 at most'), ('dropout', 0, None),
        ('dropout', 1, 'is 1, expected 0 or more and less than 1'), ('dropout', -0.1, 'is -0.1, expected 0 or more'),
        ('interval', -1, None), ('interval', -2, 'is -2, expected -1 or more'), ('other', -5, None),
    ],
)  # fmt: skip
def test_ranges_of_numbers(key, value, wrong):
    found = wrong_number(key, value)
    assert found is None if wrong is None else found.startswith(wrong)
