"""Every number of the published models against ours, through the Runner's model and its public modes."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from mlore_mm.converters.mlore import mm_to_official
from mlore_mm.routing import trace_routing
from mlore_mm.structures import MultiTaskDataSample
from tests.golden_mlore import Golden


@dataclass
class Row:
    """One group of numbers.

    Args:
        group: What is compared.
        deviation: The largest one.
        tolerance: The tolerance that the reference data comes with.
        kind: 'absolute' or 'relative'.
        rounding: How far fp32 rounding alone moves the number, where that is more than the tolerance, see below.
    """

    group: str
    deviation: float
    tolerance: float
    kind: str = 'absolute'
    rounding: float = 0.0

    @property
    def verdict(self) -> str:
        """'ok', 'rounding' (above the tolerance, but no more than rounding explains) or 'ABOVE'."""
        if self.deviation <= self.tolerance:
            return 'ok'
        return 'rounding' if self.deviation <= self.rounding else 'ABOVE'


# Adam's first step is the sign of the gradient: a weight whose gradient is nothing but rounding goes a full step either
# way. Which way the published run went is kept in tests/data/mlore/first_step_signs.json and followed here. What is
# left: the gradient of the L1 loss of normals jumps where a component of the prediction crosses its label, and biases
# before a batch norm, which have no gradient at all, show in evaluation. See docs/faithfulness.md.
ROUNDING_NORM = (0.0, 5e-3, 1e-2)
ROUNDING_STATISTICS = 3e-3
ROUNDING_OUTPUTS = 0.15
# A bias before a batch norm moves nothing but its running mean. Biases before norms of these names:
BIASES_BEFORE = {'bn': 2, 'task_mask': 1, 'mt_proj': 1}


def compare(golden: Golden, folder, jitter: int | None = None, settle: bool = True) -> Iterator[Row]:
    """All groups of one model.

    Args:
        golden: The reference.
        folder: Where the Runner may write.
        jitter: A seed; changes the weights in the last bit.
        settle: Follow the reference where rounding decides the first step of a weight.
    """
    model = golden.model(folder)
    if jitter is not None:
        generator = torch.Generator().manual_seed(jitter)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter *= 1 + 1e-7 * torch.randn(parameter.shape, generator=generator)
    yield from evaluation_rows(golden, model)
    yield from training_rows(golden, model, settle)


def evaluation_rows(golden: Golden, model) -> Iterator[Row]:
    images, expected = golden.expected['input'], golden.expected['eval_outputs']
    model.eval()
    for form, outputs in evaluation_forms(model, images):
        yield Row(f'evaluation outputs, {form}', _largest(outputs, expected), 1e-4)
    with torch.no_grad(), trace_routing() as trace:
        model(images)
    yield Row('gates of all eight blocks', gate_deviation(trace, golden.expected['routes']), 1e-5)
    with torch.no_grad():
        samples = model(images, [MultiTaskDataSample() for _ in images], mode='predict')
    decoded = {name: task.decode(expected[name]) for name, task in model.tasks.items()}
    predicted = {name: torch.stack([sample.pred.get(name) for sample in samples]) for name in decoded}
    ids = [name for name in decoded if not decoded[name].is_floating_point()]
    wrong = sum((predicted[name] != decoded[name]).float().mean().item() for name in ids)
    yield Row('predictions: share of other class ids', wrong, 1e-4)
    values = [name for name in decoded if name not in ids]
    yield Row('predictions: values', _largest({n: predicted[n] for n in values}, decoded), 1e-4)


def evaluation_forms(model, images: Tensor) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Name and logits of every form in which a model in evaluation mode can compute the decoder."""
    yield 'with gradients', {name: x.detach() for name, x in model(images).items()}
    with torch.no_grad():
        for form in ('literal', 'wide', 'folded', 'auto'):
            for block in model.decode_head.blocks():
                block.form = form
            yield f'{form} form', model(images)
        for precompute in (True, False):
            deployed = deepcopy(model)
            deployed.switch_to_deploy(precompute=precompute)
            yield f'deployed, {"kernels" if precompute else "factors"} kept', deployed(images)


def gate_deviation(trace, routes: dict[str, Tensor]) -> float:
    """Published records are named 'stage0_block1_semseg', with blocks from 1."""
    ours = {}
    for record in trace.records:
        stage, block = (int(part[5:]) for part in record.layer.split('/')[1:])
        ours[f'stage{stage}_block{block + 1}_{record.task}'] = record.gates
    assert set(ours) == set(routes)
    return max((ours[key] - routes[key].reshape(ours[key].shape)).abs().max().item() for key in routes)


def training_rows(golden: Golden, model, settle: bool = True) -> Iterator[Row]:
    """Outputs, losses, gradients, and three steps of clipped Adam with the published run's routing noise."""
    images, expected = golden.expected['input'], golden.expected
    ranks = golden.meta['config']['ranks']
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    outputs = {name: x.detach() for name, x in model(images).items()}
    yield Row('training-mode outputs', _largest(outputs, expected['train_outputs']), 1e-3)
    model.load_state_dict(before)  # the statistics of the batch norms

    golden.seed_noise()
    optimizer = torch.optim.Adam(model.parameters(), lr=golden.meta['optimizer']['lr'], weight_decay=1e-6)
    for step, wanted in enumerate(golden.meta['trajectory']):
        optimizer.param_groups[0]['lr'] = wanted['lr']
        losses = model(images, golden.samples, mode='loss')
        total = sum(losses.values())
        optimizer.zero_grad()
        total.backward()
        if step == 0:
            gradients = mm_to_official({n: p.grad for n, p in model.named_parameters()}, ranks)
            yield from gradient_rows(gradients, expected)
            if settle:
                golden.settle_signs(model)
        norm = clip_grad_norm_(model.parameters(), golden.meta['optimizer']['clip_grad']['max_norm'])
        optimizer.step()
        yield from step_rows(golden, step, {key: x.item() for key, x in losses.items()}, norm.item())
    yield from final_rows(golden, model, mm_to_official(model.state_dict(), ranks))


def step_rows(golden: Golden, step: int, losses: dict[str, float], norm: float) -> Iterator[Row]:
    wanted, weights = golden.meta['trajectory'][step], golden.meta['loss_weights']
    worst = max(_relative(losses[f'loss_{name}'], weights[name] * wanted[name]) for name in golden.meta['tasks'])
    balance = _relative(losses['loss_load_balance'] / weights['load_balancing'], wanted['cv'])
    total = _relative(sum(losses.values()), wanted['total'])
    norm = _relative(norm, wanted['grad_norm'])
    label = f'step {step + 1}'
    yield Row(f'{label}: losses', worst, 1e-3, 'relative')
    yield Row(f'{label}: load-balance term', balance, 1e-3, 'relative')
    yield Row(f'{label}: total', total, 1e-3, 'relative')
    yield Row(f'{label}: gradient norm', norm, 1e-3, 'relative', ROUNDING_NORM[step])


def gradient_rows(gradients: dict[str, Tensor], expected: dict) -> Iterator[Row]:
    norms = {key: (gradients[f'module.{key}'].norm().item(), float(v)) for key, v in expected['grad_norms'].items()}
    assert set(gradients) == {f'module.{key}' for key in norms}, 'every parameter has a gradient norm'
    large = [_relative(*pair) for pair in norms.values() if pair[1] >= 1e-4]
    small = [_relative(*pair) for pair in norms.values() if 1e-6 <= pair[1] < 1e-4]
    # A bias before a batch norm has no gradient, and what is computed for it is rounding.
    nothing = [abs(ours - theirs) for ours, theirs in norms.values() if theirs < 1e-6]
    yield Row(f'gradient norms, {len(large)} parameters', max(large), 1e-3, 'relative')
    if small:
        yield Row(f'gradient norms below 1e-4, {len(small)} parameters', max(small), 2e-2, 'relative')
    yield Row(f'gradient norms below 1e-6 (rounding), {len(nothing)} parameters', max(nothing, default=0), 1e-6)
    full = [_scaled(gradients[f'module.{key}'], value) for key, value in expected['grads'].items()]
    yield Row(f'full gradients, {len(full)} parameters, by their largest entry', max(full), 1e-3, 'relative')


def final_rows(golden: Golden, model, state: dict[str, Tensor]) -> Iterator[Row]:
    statistics = golden.expected['bn_after_3_steps']
    variances, means = [], []
    for key, wanted in statistics.items():
        ours, wanted = state[f'module.{key}'].float(), wanted.float()
        if key.endswith('running_var'):
            variances.append(_scaled(ours, wanted))
        else:
            excess = ((ours - wanted).abs() - mean_bound(golden, key)).max().clamp(min=0)
            means.append((excess / wanted.abs().max()).item())
    assert len(variances) == len(means)
    label = 'after 3 steps, by their largest entry'
    yield Row(f'batch-norm variances {label}', max(variances), 1e-3, 'relative', ROUNDING_STATISTICS)
    yield Row(
        f'batch-norm means {label}, beyond what biases without a gradient explain',
        max(means),
        1e-3,
        'relative',
        ROUNDING_STATISTICS,
    )
    model.eval()
    with torch.no_grad():
        outputs = model(golden.expected['input'])
    wanted = golden.expected['eval_outputs_after_3_steps']
    typical = [((outputs[name] - x).square().mean().sqrt() / x.std()).item() for name, x in wanted.items()]
    yield Row(
        'evaluation outputs after 3 steps, RMS by the deviation of the output',
        max(typical),
        1e-3,
        'relative',
        ROUNDING_OUTPUTS,
    )


def mean_bound(golden: Golden, key: str) -> float:
    """How far two runs' running means may lie apart because biases before the norm went opposite ways.

    A bias moves by at most the learning rate a step. The second batch sees one step and is kept with 0.9 * 0.1, the
    third sees two.
    """
    biases = next((n for name, n in BIASES_BEFORE.items() if name in key.split('.')), 0)
    rates = [step['lr'] for step in golden.meta['trajectory']]
    return biases * 2 * 0.1 * (0.9 * rates[0] + rates[0] + rates[1])


def _largest(ours: dict[str, Tensor], wanted: dict[str, Tensor]) -> float:
    return max((x - wanted[name]).abs().max().item() for name, x in ours.items())


def _relative(ours: float, wanted: float) -> float:
    return abs(ours - wanted) / abs(wanted)


def _scaled(ours: Tensor, wanted: Tensor) -> float:
    return ((ours - wanted).abs().max() / wanted.abs().max().clamp(min=1e-12)).item()
