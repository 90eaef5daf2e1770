"""Reference numbers of InvPT and TaskPrompter, and our models built for them."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import torch
from mmengine.structures import PixelData
from torch import Tensor

from mlore_mm.converters import INVPT, TASK_PROMPTER
from mlore_mm.registry import MODELS
from mlore_mm.structures import MultiTaskDataSample
from tests.golden_mlore import KINDS
from tests.shared import shared_path

NAMES = ('nyud_tiny', 'pascal_tiny')
# Relative for losses, norms and digests; maps are stored in float32, so they are compared by their largest value.
FP64 = 1e-6
FP32 = dict(maps=1e-4, losses=1e-5, norms=1e-3)


@dataclass
class Golden:
    system: str
    name: str
    meta: dict
    expected: dict
    published: dict

    @property
    def tasks(self) -> dict[str, dict]:
        meta = self.meta
        tasks = {
            t: dict(type=KINDS[t], out_channels=meta['num_outputs'][t], loss_weight=meta['loss_weights'][t])
            for t in meta['tasks']
        }
        tasks['edge']['loss'] = dict(type='BalancedBCELoss', pos_weight=meta['edge_pos_weight'])
        return tasks

    def model(self, dtype: torch.dtype = torch.float64, **changes):
        """Our model with the published weights, loaded strictly; ``changes`` by name of its part."""
        config = dict(
            type='MultiTaskEncoderDecoder',
            tasks=self.tasks,
            **SYSTEMS[self.system](self.meta),
        )
        for part, options in changes.items():
            config[part] = {**config.get(part, {}), **options}
        model = MODELS.build(config)
        model.load_state_dict(self.keys.to_ours(self.published)[0], strict=True)
        return model.to(dtype)

    @property
    def keys(self):
        return KEYS[self.system]

    @property
    def never_created(self) -> list[str]:
        """Published parameters with a gradient of zero that our model does not have."""
        last = f'backbone.blocks.{self.meta["depth"] - 1}.attn.token_trans1.'
        return [name for name in self.expected['zero_grad_params'] if name.startswith(last)]

    def images(self, model) -> Tensor:
        return self.expected['input'].to(next(model.parameters()).dtype)

    @property
    def samples(self) -> list[MultiTaskDataSample]:
        targets = self.expected['targets']
        return [
            MultiTaskDataSample(gt=PixelData(**{t: targets[t][i] for t in self.meta['tasks']}))
            for i in range(len(self.expected['input']))
        ]


def invpt_parts(meta: Mapping) -> dict:
    return dict(
        backbone=dict(
            type='PlainViT',
            **_vit(meta),
            with_cls_token=True,
            out_indices=[meta['selected_blocks'][0] - 1, meta['selected_blocks'][1] - 1, meta['depth'] - 1],
        ),
        decode_head=dict(
            type='InvPTHead',
            in_channels=[meta['embed_dims']] * 3,
            embed_dims=meta['task_dim'],
            extra_dims=meta['extra_dim'],
            strides=(16, 16, 16),  # half the tokens, whatever the size of a patch, as published
        ),
        criterion=dict(type='MultiTaskCriterion', auxiliary=dict(intermediate=1.0)),
        test_cfg=dict(mode='whole', groups=['intermediate']),
    )


def _vit(meta: Mapping) -> dict:
    return dict(
        arch=dict(embed_dims=meta['embed_dims'], num_layers=meta['depth'], num_heads=meta['heads']),
        img_size=meta['image_height_width'],
        patch_size=meta['patch_size'],
        drop_path_rate=0.0,
    )


def task_prompter_parts(meta: Mapping) -> dict:
    return dict(
        backbone=dict(
            type='TaskPrompterViT',
            **_vit(meta),
            out_indices=[*(i - 1 for i in meta['selected_blocks']), meta['depth'] - 1],
            channel_windows=meta['channel_windows'],
        ),
        decode_head=dict(
            type='TaskPrompterHead',
            in_channels=[meta['embed_dims']] * 4,
            embed_dims=meta['level_dim'],
            final_dims=meta['final_dim'],
            num_heads=meta['heads'],
            cross_task=meta['cross_task_reweighting'],
        ),
    )


SYSTEMS = dict(invpt=invpt_parts, taskprompter=task_prompter_parts)
KEYS = dict(invpt=INVPT, taskprompter=TASK_PROMPTER)


@cache
def load_golden(system: str, name: str) -> Golden:
    """From the shared reference data, or a skip."""
    folder = shared_path(f'golden/invpt_taskprompter/{system}')
    meta = json.loads((folder / f'{name}_meta.json').read_text())
    expected = torch.load(folder / f'{name}_expected.pth', weights_only=True)
    published = torch.load(folder / f'{name}_checkpoint.pth', weights_only=True)['model']
    return Golden(system, name, meta, expected, published)


def digest(x: Tensor) -> dict[str, float]:
    """What the reference keeps of every tensor, in full precision."""
    x = x.detach().double()
    ramp = torch.linspace(-1, 1, x.numel(), dtype=torch.float64)
    flat = x.flatten()
    return dict(
        sum=flat.sum().item(), abs_sum=flat.abs().sum().item(), l2=flat.norm().item(), ramp=(flat @ ramp).item()
    )


def digest_deviation(x: Tensor, expected: Mapping) -> float:
    """The largest deviation of any of the four numbers, relative to the sum of magnitudes."""
    assert list(x.shape) == list(expected['shape'])
    found = digest(x)
    scales = dict(sum='abs_sum', abs_sum='abs_sum', l2='l2', ramp='abs_sum')
    return max(abs(found[key] - expected[key]) / max(expected[scale], 1e-12) for key, scale in scales.items())


def deviation(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> float:
    """The largest deviation of any map, relative to its largest value."""
    assert set(found) == set(expected)
    worst = 0.0
    for name, wanted in expected.items():
        assert found[name].shape == wanted.shape
        difference = (found[name].detach().double() - wanted.double()).abs().max()
        worst = max(worst, (difference / wanted.abs().max().double()).item())
    return worst


def flat(tree, prefix: str = '') -> dict[str, object]:
    """Nested dicts and lists of tensors (or of digests) by dotted path."""
    if isinstance(tree, Tensor) or (isinstance(tree, Mapping) and 'abs_sum' in tree):
        return {prefix: tree}
    items = tree.items() if isinstance(tree, Mapping) else enumerate(tree)
    return {path: leaf for key, x in items for path, leaf in flat(x, f'{prefix}.{key}' if prefix else str(key)).items()}


def record(model, modules: Mapping[str, object], run) -> dict[str, list]:
    """Outputs of the named modules while ``run()`` runs, in the order of their calls."""
    found, handles = {}, []
    for name, module in modules.items():
        handles.append(
            module.register_forward_hook(lambda m, a, out, name=name: found.setdefault(name, []).append(out))
        )
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return found


@dataclass
class Row:
    """One compared number: what, how far off, and what is allowed."""

    what: str
    deviation: float
    tolerance: float


def wrong(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if not row.deviation <= row.tolerance]


def evaluation_rows(golden: Golden, model, after: str = '') -> Iterator[Row]:
    """Outputs and losses of a model in evaluation; ``after`` is '' or '_after_step'."""
    expected, images = golden.expected, golden.images(model)
    double = images.dtype == torch.float64
    model.eval()
    with torch.no_grad():
        outputs = model(images)
    step = 2 if after else 1
    yield from map_rows(f'eval_outputs{after}', outputs, expected[f'eval_outputs{after}'], step, double)
    if double:
        yield from digest_rows(f'eval_outputs{after}', outputs, expected)
    with torch.no_grad():
        losses = model(images, golden.samples, mode='loss')
    yield from loss_rows(f'losses_eval{after}', losses, golden, double)


def training_rows(golden: Golden, model) -> Iterator[Row]:
    """One training step by plain SGD, and evaluation after it."""
    expected, images = golden.expected, golden.images(model)
    double = images.dtype == torch.float64
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    outputs = {name: x.detach() for name, x in model(images).items()}
    yield from map_rows('train_outputs', outputs, expected['train_outputs'], 2, double)
    if double:
        yield from digest_rows('train_outputs', outputs, expected)
    model.load_state_dict(before)  # the statistics of the batch norms

    losses = model(images, golden.samples, mode='loss')
    yield from loss_rows('losses_train', losses, golden, double)
    sum(losses.values()).backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    yield from gradient_rows(golden, gradients, double)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= golden.meta['sgd_lr'] * parameter.grad
    state = golden.keys.to_published(model.state_dict())
    found = {key: state[f'module.{key}'] for key in expected['bn_after_step']}
    for name, wanted in expected['bn_after_step'].items():
        yield from map_rows('bn_after_step', {name: found[name]}, {name: wanted}, 1, double)
    yield from evaluation_rows(golden, model, '_after_step')
    model.train()
    with torch.no_grad():
        losses = model(images, golden.samples, mode='loss')
    yield from loss_rows('losses_train_after_step', losses, golden, double)


def map_rows(what: str, found: Mapping, expected: Mapping, step: int, double: bool) -> Iterator[Row]:
    """Maps, of which the reference keeps every ``step``-th row and column."""
    assert set(found) == set(expected)
    for name, wanted in expected.items():
        ours = found[name][..., ::step, ::step] if step > 1 else found[name]
        if double:
            yield Row(f'{what} {name}', deviation({name: ours}, {name: wanted}), FP64)
        else:
            yield Row(f'{what} {name}', (ours - wanted).abs().max().item(), FP32['maps'])


def digest_rows(what: str, found: Mapping, expected: Mapping) -> Iterator[Row]:
    for name, wanted in expected['digests'][what].items():
        yield Row(f'digest of {what} {name}', digest_deviation(found[name], wanted), FP64)


def loss_rows(what: str, losses: Mapping[str, Tensor], golden: Golden, double: bool) -> Iterator[Row]:
    """Every loss and their sum; the reference names them unweighted, with ``inter_`` before the intermediate ones."""
    tolerance = FP64 if double else FP32['losses']
    wanted, weights = golden.expected[what], golden.meta['loss_weights']
    assert len(losses) == len(wanted) - 1
    for name, loss in losses.items():
        key = name.removeprefix('loss_').replace('intermediate_', 'inter_')
        value = weights[key.removeprefix('inter_')] * wanted[key]
        yield Row(f'{what} {key}', abs(loss.item() - value) / value, tolerance)
    total = sum(losses.values()).item()
    yield Row(f'{what} total', abs(total - wanted['total']) / wanted['total'], tolerance)


def gradient_rows(golden: Golden, gradients: Mapping[str, Tensor], double: bool) -> Iterator[Row]:
    expected, tolerance = golden.expected, FP64 if double else FP32['norms']
    ours = {k.removeprefix('module.'): v for k, v in golden.keys.to_published(gradients).items()}
    unused = {*expected['no_grad_params'], *golden.never_created}
    assert set(expected['grad_norms']) - set(ours) <= unused
    for name, gradient in ours.items():
        if name in unused:
            continue
        wanted = expected['grad_norms'][name]
        error = abs(gradient.norm().item() - wanted)
        if name in expected['zero_grad_params']:
            yield Row(f'gradient norm of {name}, which is zero', error, 1e-5)
        else:
            yield Row(f'gradient norm of {name}', error / wanted, tolerance)
    total = torch.stack([g.norm() for g in gradients.values()]).norm().item()
    yield Row('gradient norm', abs(total / expected['grad_norm_total'] - 1), tolerance)
    for name, wanted in expected['grads'].items():
        yield Row(f'gradient of {name}', deviation({name: ours[name]}, {name: wanted}), tolerance)
