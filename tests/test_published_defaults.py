"""Numbers that decide results and that nothing else notices, by hand from the papers and their code."""

import inspect

import pytest
import torch
from mmengine.config import Config

from mlore_mm.datasets.transforms import MultiTaskRandomCrop, MultiTaskRandomScale, PhotoMetricDistortion
from mlore_mm.engine.hooks import TemperatureAnnealHook
from mlore_mm.evaluation.metrics import BoundaryMetric, DepthMetric
from mlore_mm.models.backbones import M3ViT, ModSquadViT, PlainViT, TaskPrompterViT
from mlore_mm.models.decode_heads import DeepLabHead, DenseMTLHead, InvPTHead, PADNetHead, PUPHead
from mlore_mm.models.layers import ASPP, ExpertUsage, PadConv2d, PadMoELinear
from mlore_mm.models.losses import (
    BalancedBCELoss,
    BerHuLoss,
    DynamicWeightAverage,
    FAMOWeighting,
    GradNormWeighting,
    ImportanceLoadLoss,
    WeightedCrossEntropyLoss,
)
from mlore_mm.models.one_task import choose_experts
from mlore_mm.registry import MODELS
from mlore_mm.routing import TopKGate
from mlore_mm.tasks import TaskSet, bind_tasks
from tests.shared import REPO

ADAM, SGD = ('Adam', (0.9, 0.999)), ('SGD', 0.9)
PASCAL = dict(semseg=1, human_parts=2, sal=5, normals=10, edge=50)
NYUD = dict(semseg=1, depth=1, normals=10, edge=50)
SEMSEG_DEPTH = dict(semseg=1, depth=1)
DENSE = dict(semseg=100, depth=1, normals=100)

# Optimizer with its momentum, rate, weight decay, largest gradient norm, iterations or epochs, images per step.
SCHEDULES = {
    'mlore/mlore_vitl_pascal': (ADAM, 2e-5, 1e-6, 10, 40000, 4),
    'mlore/mlore_vits_pascal': (ADAM, 2e-5, 1e-6, 10, 40000, 4),
    'mlore/mlore_vitl_nyud': (ADAM, 1e-5, 1e-6, 10, 40000, 4),
    'invpt/invpt_vitl_nyud': (ADAM, 2e-5, 1e-6, None, 40000, 6),
    'task_prompter/task-prompter_vitl_pascal': (ADAM, 2e-5, 1e-6, 10, 40000, 4),
    'task_prompter/task-prompter_vitl_nyud': (ADAM, 1e-5, 1e-6, 10, 40000, 4),
    'm3vit/m3vit_vits_nyud': (SGD, 2e-3, 1e-4, None, 100, 16),
    'm3vit/m3vit_vits_pascal': (SGD, 2e-3, 1e-4, None, 100, 16),
    'pad_net/pad-net_hrnet18s_nyud': (ADAM, 1e-4, 1e-4, None, 100, 8),
    'mti_net/mti-net_hrnet18s_pascal': (ADAM, 1e-4, 1e-4, None, 100, 8),
    'sharing/cross-stitch_r18_pascal': (SGD, 5e-3, 1e-4, None, 20, 12),
    'sharing/mtan_r18_pascal': (SGD, 5e-3, 1e-4, None, 100, 6),
    'densemtl/densemtl_r101_nyud_sdne': (('Adam', (0.9, 0.98)), 3e-4, 0, 10, 40000, 2),
    'densemtl/densemtl_r101_cityscapes_sdn': (('Adam', (0.9, 0.98)), 1e-4, 0, 10, 40000, 2),
}
# Weights of the tasks' losses and of the routers' balance, weight of boundary pixels, distance of boundaries.
WEIGHTS = {
    'mlore/mlore_vitl_pascal': (PASCAL, 3e-4, 0.925, 0.0075),
    'mlore/mlore_vits_pascal': (PASCAL, 1e-4, 0.95, 0.0075),
    'mlore/mlore_vitl_nyud': (NYUD, 5e-4, 0.88, 0.011),
    'invpt/invpt_vitl_nyud': (NYUD, None, 0.95, 0.011),
    'task_prompter/task-prompter_vitl_pascal': (PASCAL, None, 0.95, 0.0075),
    'task_prompter/task-prompter_vitl_nyud': (NYUD, None, 0.95, 0.011),
    'm3vit/m3vit_vits_nyud': (SEMSEG_DEPTH, 0.01, None, None),
    'm3vit/m3vit_vits_pascal': (PASCAL, 0.01, 0.95, 0.0075),
    'pad_net/pad-net_hrnet18s_nyud': (NYUD, None, 0.95, 0.011),
    'mti_net/mti-net_hrnet18s_pascal': (PASCAL, None, 0.95, 0.0075),
    'sharing/cross-stitch_r18_pascal': (PASCAL, None, 0.95, 0.0075),
    'sharing/mtan_r18_pascal': (PASCAL, None, 0.95, 0.0075),
    'densemtl/densemtl_r101_nyud_sdne': (dict(DENSE, edge=50), None, None, None),
    'densemtl/densemtl_r101_cityscapes_sdn': (DENSE, None, None, None),
}
IMAGENET = ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])  # 255 times (.485, .456, .406) and (.229, .224, .225)
GREY = ([114.75] * 3, [57.375] * 3)  # 255 times .45 and .225
DROP_PATH = ('PlainViT', 'TaskPrompterViT')
DEFAULTS = [
    (PlainViT, 'drop_path_rate', 0.15),
    (TaskPrompterViT, 'drop_path_rate', 0.15),
    (M3ViT, 'drop_path_rate', 0),
    (M3ViT, 'num_experts', 16),
    (M3ViT, 'top_k', 4),
    (M3ViT, 'expert_ratio', 1),
    (ModSquadViT, 'drop_path_rate', 0.1),
    (ModSquadViT, 'attn_experts', 15),
    (ModSquadViT, 'num_experts', 16),
    (ModSquadViT, 'top_k', 4),
    (ExpertUsage, 'decay', 0.95),
    (choose_experts, 'threshold', 3),  # percent of the tokens
    (TopKGate, 'noise_floor', 0.01),
    (PadConv2d, 'num_kernels', 4),
    (PadConv2d, 'reduction', 16),
    (PadMoELinear, 'num_experts', 8),
    (ASPP, 'dilations', (6, 12, 18)),
    (ASPP, 'dropout', 0.5),
    (DeepLabHead, 'dilations', (12, 24, 36)),
    (DeepLabHead, 'channels', 256),
    (DenseMTLHead, 'channels', (64, 128, 128, 256, 256)),
    (DenseMTLHead, 'dilations', (6, 12, 18)),
    (InvPTHead, 'embed_dims', 512),
    (InvPTHead, 'extra_dims', 64),
    (InvPTHead, 'num_heads', 2),
    (PADNetHead, 'embed_dims', 256),
    (PUPHead, 'embed_dims', 256),
    (BalancedBCELoss, 'pos_weight', 0.95),
    (ImportanceLoadLoss, 'loss_weight', 0.01),
    (BerHuLoss, 'threshold', 0.2),
    (WeightedCrossEntropyLoss, 'class_weights', (0.05, 0.95)),
    (DynamicWeightAverage, 'temperature', 2),
    (FAMOWeighting, 'lr', 0.025),
    (FAMOWeighting, 'decay', 0.001),
    (GradNormWeighting, 'alpha', 1.5),
    (BoundaryMetric, 'max_dist', 0.0075),
    (DepthMetric, 'min_depth', 0),
    (DepthMetric, 'max_depth', 80),
    (MultiTaskRandomScale, 'ratio_range', (0.5, 2.0)),
    (MultiTaskRandomCrop, 'cat_max_ratio', 0.75),
    (PhotoMetricDistortion, 'brightness_delta', 32),
    (PhotoMetricDistortion, 'hue_delta', 18),
    (TemperatureAnnealHook, 'init', 30),  # Chen et al., CVPR 2020
    (TemperatureAnnealHook, 'epochs', 15),  # He et al., ACL 2023
]


@pytest.fixture(scope='module', params=SCHEDULES)
def bound(request):
    """Name and config, as a training gets it."""
    return request.param, bind_tasks(Config.fromfile(REPO / 'configs' / f'{request.param}.py'))


def length(cfg) -> int:
    """Epochs, in benchmark family A; iterations elsewhere."""
    return cfg.train_cfg.get('max_epochs') or cfg.train_cfg.max_iters


def test_optimizer_and_schedule(bound):
    name, cfg = bound
    optimizer, clip = cfg.optim_wrapper.optimizer, cfg.optim_wrapper.get('clip_grad') or {}
    momentum = optimizer.momentum if optimizer.type == 'SGD' else tuple(optimizer.betas)
    found = ((optimizer.type, momentum), optimizer.lr, optimizer.weight_decay, clip.get('max_norm'))
    assert (*found, length(cfg), cfg.auto_scale_lr.base_batch_size) == SCHEDULES[name]


def test_rate_falls_to_zero_or_in_a_step(bound):
    name, cfg = bound
    (scheduler,) = cfg.param_scheduler
    if name.startswith('densemtl'):
        assert (scheduler.type, scheduler.milestones, scheduler.gamma) == ('MultiStepLR', [30000], 0.1)
        encoder = cfg.optim_wrapper.optimizer.lr * cfg.optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult
        assert encoder == pytest.approx(1e-5 if 'cityscapes' in name else 2e-4)
    else:
        assert (scheduler.type, scheduler.power, scheduler.eta_min) == ('PolyLR', 0.9, 0)
        assert scheduler.end == length(cfg) + 1
        assert scheduler.by_epoch == ('max_epochs' in cfg.train_cfg)


def test_weights_of_the_losses_and_distance_of_boundaries(bound):
    name, cfg = bound
    tasks, balance, positive, distance = WEIGHTS[name]
    assert {task.name: task.loss_weight for task in TaskSet(cfg.model.tasks).values()} == tasks
    routers = cfg.model.criterion.get('auxiliary_losses', {}).values()
    assert [loss.loss_weight for loss in routers] == ([] if balance is None else [balance])
    edge = TaskSet(cfg.model.tasks).get('edge')
    if positive is not None:
        assert (edge.loss['pos_weight'], edge.metric['max_dist']) == (positive, distance)
    elif edge is not None:
        assert (edge.loss['class_weights'], edge.metric['type']) == ((0.05, 0.95), 'EdgeF1Metric')


def test_mean_and_deviation_of_the_images_and_drop_path(bound):
    name, cfg = bound
    preprocessor = MODELS.build(cfg.model.data_preprocessor)
    mean, std = GREY if name.startswith('densemtl') else IMAGENET
    torch.testing.assert_close(preprocessor.mean.flatten().tolist(), mean, rtol=1e-6, atol=0)
    torch.testing.assert_close(preprocessor.std.flatten().tolist(), std, rtol=1e-6, atol=0)
    assert preprocessor.bgr_to_rgb
    assert cfg.model.backbone.get('drop_path_rate') == (0.15 if cfg.model.backbone.type in DROP_PATH else None)


@pytest.mark.parametrize(('part', 'option', 'value'), DEFAULTS, ids=lambda x: getattr(x, '__name__', None))
def test_defaults_of_the_parts(part, option, value):
    assert inspect.signature(part).parameters[option].default == value


def test_defaults_of_the_tasks():
    kinds = dict(SemSeg=1, HumanParts=2, Saliency=5, SurfaceNormals=10, Edge=50, Depth=1)
    tasks = TaskSet({kind.lower(): dict(type=kind) for kind in kinds})
    assert [task.loss_weight for task in tasks.values()] == list(kinds.values())
    assert tasks['edge'].loss == dict(type='BalancedBCELoss', pos_weight=0.95)
