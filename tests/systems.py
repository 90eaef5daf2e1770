"""The systems of the field at toy size, for the checks that every one of them has to pass.

To join, add one entry to :data:`SYSTEMS`: a name, and the ``model`` part of a config at a width that trains in a second
(no ``tasks``: they are :data:`TASKS`; ``edge`` is there to be an auxiliary task). ``test_models/test_systems.py`` then
checks: a subset of tasks equals the full run, two sizes of input (or the error that refuses the second), losses of
single tasks add up to the joint loss, export to ONNX within 1e-4, bit-identical resume, training in bfloat16 without
NaN, and two processes against one. What does not hold for a system is said in its entry, with the reason.

More steps in bfloat16, as for a figure in the docs:
    python -m tests.systems pad_net --steps 200
"""

import argparse
from dataclasses import dataclass, field

import torch
from mmengine.config import Config, ConfigDict
from torch import Tensor, nn
from torch.utils.data import Dataset

from mlore_mm.registry import DATASETS, MODELS
from mlore_mm.structures import MultiTaskDataSample
from mlore_mm.tasks import TaskSet
from tests.mlore_models import TASKS, make_samples, randomise


@dataclass(frozen=True)
class System:
    """One system at toy size.

    Args:
        name: As it is called in configs.
        model: Its config, without ``type`` and ``tasks``.
        size: (H, W) of the input.
        other_size: Another one.
        refused: Pattern of the error that the other size gives where the method fixes the size.
        not_exact: Why a subset of tasks is not the full run's.
        not_additive: Why losses of single tasks do not add up to the joint loss.
        not_exported: Why it cannot be exported to ONNX.
        not_split: Why two processes do not equal one.
        deterministic: Options that switch off what is drawn at random in training, for the last two.
    """

    name: str
    model: dict
    size: tuple[int, int] = (64, 96)
    other_size: tuple[int, int] = (96, 64)
    refused: str = ''
    not_exact: str = ''
    not_additive: str = ''
    not_exported: str = ''
    not_split: str = ''
    deterministic: dict = field(default_factory=dict)

    @property
    def few_tasks(self) -> dict:
        """Two tasks, and the auxiliary ones."""
        names = ('semseg', 'depth', *self.model.get('aux_tasks', ()))
        return {name: task for name, task in TASKS.items() if name in names}

    def config(self, **options) -> dict:
        """The whole config of the model."""
        return dict(dict(type='MultiTaskEncoderDecoder', tasks=TASKS, **self.model), **options)

    def build(self, **options) -> nn.Module:
        """A seeded model, norms and statistics random as well."""
        model = MODELS.build(Config(self.config(**options))._cfg_dict)
        model.cfg = Config(dict(model=dict()))  # what export reads of models that `init_model` made
        randomise(model)
        return model


RESNET = dict(
    type='mmseg.ResNet', depth=18, stem_channels=8, base_channels=8, norm_cfg=dict(type='BN'), norm_eval=False
)
WIDTHS = [8, 16, 32, 64]
DILATED = dict(type='DilatedResNet', depth=18, stem_channels=8, planes=WIDTHS)
DEEPLAB = dict(
    type='PerTaskHead',
    in_channels=[64],
    head=dict(type='DeepLabHead', in_channels=64, channels=8, dilations=(1, 2, 3), dropout=0.0),
)
STEM_RESNET = dict(RESNET, type='StemResNet', strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2), contract_dilation=True)
SECTIONS = dict(in_channels=[8, *WIDTHS], channels=[8, 12, 12, 16, 16], dilations=(1, 2), dropout=0.0)
VIT = dict(arch=dict(embed_dims=8, num_layers=3, num_heads=2), img_size=(64, 128), drop_path_rate=0.0)


def groups(*names: str, weight: float = 1.0) -> dict:
    """A criterion that adds groups of auxiliary logits."""
    return dict(type='MultiTaskCriterion', average='batch', auxiliary=dict.fromkeys(names, weight))


def mean_group(name: str) -> dict:
    """A criterion that takes the mean over the final logits and a group."""
    return dict(type='MultiTaskCriterion', average='batch', auxiliary={name: dict(combine='mean', align_corners=True)})


SYSTEMS = {
    system.name: system
    for system in (
        System(
            'm3vit',
            dict(
                backbone=dict(
                    type='M3ViT',
                    arch=dict(embed_dims=24, num_layers=4, num_heads=3),
                    img_size=(64, 96),
                    num_experts=4,
                    top_k=2,
                ),
                decode_head=dict(type='PUPHead', in_channels=24, embed_dims=8, tam_levels=[0]),
                criterion=dict(
                    type='MultiTaskCriterion',
                    average='batch',
                    auxiliary=dict(tam_level0=1.0),
                    auxiliary_losses=dict(balance=dict(type='ImportanceLoadLoss')),
                ),
            ),
        ),
        System(
            'mod_squad',
            dict(
                backbone=dict(
                    type='ModSquadViT',
                    arch=dict(embed_dims=24, num_layers=4, num_heads=3),
                    img_size=(64, 96),
                    attn_experts=5,
                    num_experts=4,
                    top_k=2,
                    drop_path_rate=0.0,
                ),
                decode_head=dict(type='ModSquadHead', in_channels=24),
                criterion=dict(
                    type='MultiTaskCriterion',
                    average='batch',
                    auxiliary_losses=dict(routers=dict(type='ModSquadRouterLoss', switch=0.01, z=0.001)),
                ),
            ),
            not_additive='the mutual information of task and expert is of all tasks together',
        ),
        System(
            'pad_net',
            dict(
                backbone=RESNET,
                decode_head=dict(type='PADNetHead', in_channels=WIDTHS, embed_dims=16),
                aux_tasks=['edge'],
                criterion=groups('initial'),
            ),
        ),
        System(
            'mti_net',
            dict(
                backbone=RESNET,
                decode_head=dict(type='MTINetHead', in_channels=WIDTHS),
                aux_tasks=['edge'],
                criterion=groups('scale_0', 'scale_1', 'scale_2', 'scale_3'),
            ),
        ),
        System(
            'densemtl',
            dict(
                backbone=STEM_RESNET,
                decode_head=dict(type='DenseMTLHead', exchange={1: 4}, **SECTIONS),
                criterion=mean_group('scale_1'),
            ),
        ),
        System(
            'pad_net_plus',
            dict(
                backbone=STEM_RESNET,
                decode_head=dict(type='PADNetPlusHead', **SECTIONS),
                criterion=mean_group('scale_2'),
            ),
        ),
        System(
            'invpt',
            dict(
                backbone=dict(VIT, type='PlainViT', out_indices=[0, 1, 2], with_cls_token=True),
                decode_head=dict(type='InvPTHead', in_channels=[8] * 3, embed_dims=10, extra_dims=6),
                criterion=groups('intermediate'),
            ),
            size=(64, 128),
            other_size=(128, 64),
        ),
        System(
            'fgmoe',
            dict(
                backbone=dict(VIT, type='PlainViT', out_indices=[0, 2]),
                frozen_backbone=True,
                decode_head=dict(type='FGMoEHead', in_channels=[8] * 2, embed_dims=8),
                criterion=dict(
                    type='MultiTaskCriterion',
                    average='batch',
                    auxiliary_losses=dict(balance=dict(type='ExpertShareLoss')),
                ),
            ),
            size=(64, 128),
            other_size=(128, 64),
        ),
        System(
            'task_prompter',
            dict(
                backbone=dict(VIT, type='TaskPrompterViT', out_indices=[0, 2], channel_windows=4),
                decode_head=dict(
                    type='TaskPrompterHead',
                    in_channels=[8] * 2,
                    embed_dims=6,
                    final_dims=8,
                    num_heads=2,
                    cross_task=True,
                ),
                criterion=groups(),
            ),
            size=(64, 128),
            other_size=(128, 64),
            refused='built for images of 64x128',
        ),
        System(
            'cross_stitch',
            dict(
                backbone=dict(type='EncodersInStep', encoder=DILATED, exchange=dict(type='CrossStitch')),
                decode_head=DEEPLAB,
                criterion=groups(),
            ),
        ),
        System(
            'nddr_cnn',
            dict(
                backbone=dict(type='EncodersInStep', encoder=DILATED, exchange=dict(type='NDDR')),
                decode_head=DEEPLAB,
                criterion=groups(),
            ),
        ),
        System(
            'mtan',
            dict(backbone=dict(type='MTAN', encoder=DILATED), decode_head=DEEPLAB, criterion=groups()),
        ),
        System(
            'pad_dynamic',
            dict(
                backbone=RESNET,
                decode_head=dict(type='MultiTaskFCNHead', in_channels=WIDTHS, embed_dims=12, scale=2),
                partially_dynamic=[dict(modules='decode_head.heads.*.0', num_kernels=3)],
                criterion=groups(),
            ),
        ),
    )
}


def batch(model: nn.Module, size: tuple[int, int], count: int = 2) -> tuple[Tensor, list[MultiTaskDataSample]]:
    """Random images (B, 3, H, W) as they come out of the preprocessor, and labels of all tasks."""
    images = torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(2))
    return images, make_samples(model, images)


@DATASETS.register_module()
class SystemDataset(Dataset):
    """Random images and labels of one size; the same ones every time."""

    def __init__(self, metainfo: dict, size: tuple[int, int], length: int = 4) -> None:
        self.metainfo = ConfigDict(metainfo).to_dict()  # plain, as checkpoints are read with weights_only=True
        self.tasks, self.size, self.length = TaskSet(self.metainfo['tasks']), tuple(size), length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict:
        generator = torch.Generator().manual_seed(index)
        image = torch.randint(0, 256, (3, *self.size), generator=generator, dtype=torch.uint8)
        (sample,) = make_samples(self, image[None].float())
        sample.set_metainfo(dict(img_path=f'{index}.png', sample_id=str(index)))
        return dict(inputs=image, data_samples=sample)


def train_in_bf16(system: System, steps: int) -> list[float]:
    """Total losses of Adam's steps under autocast to bfloat16, on the CPU.

    Raises:
        AssertionError: A loss or a gradient is not finite.
    """
    torch.manual_seed(0)
    model = system.build().train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    images, samples = batch(model, system.size)
    totals = []
    for step in range(steps):
        with torch.autocast('cpu', dtype=torch.bfloat16):
            losses = model(images, samples, mode='loss')
        total = sum(x for name, x in losses.items() if 'loss' in name)
        optimizer.zero_grad()
        total.backward()
        wrong = [name for name, p in model.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
        assert total.isfinite(), f'step {step}: {losses}'
        assert not wrong, f'step {step}: gradients of {wrong[:5]}'
        optimizer.step()
        totals.append(total.item())
    return totals


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('system', choices=SYSTEMS)
    parser.add_argument('--steps', type=int, default=200)
    args = parser.parse_args()
    found = train_in_bf16(SYSTEMS[args.system], args.steps)
    print(f'{args.system}: {args.steps} steps in bfloat16, all finite; total loss {found[0]:.3f} to {found[-1]:.3f}')
