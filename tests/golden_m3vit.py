"""The published M3ViT at toy size: its weights in our model, and its numbers beside ours."""

import io
import json
import lzma
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from mmengine.structures import PixelData
from torch import Tensor, nn

from mlore_mm.converters import M3VIT
from mlore_mm.models.losses import ImportanceLoadLoss
from mlore_mm.registry import MODELS
from mlore_mm.routing import RouterTrace, trace_routing
from mlore_mm.structures import MultiTaskDataSample
from tests.golden_astmt import compare_norms, family_a_tasks, largest
from tests.shared import shared_path

NAMES = ('pascal_tam', 'nyud_noise', 'conditioned', 'ahead_tam', 'three_tam_dense')


@dataclass
class Golden:
    """One golden model.

    Args:
        name: One of :data:`NAMES`.
        dtype: What is computed in.
        folded: All tasks in one call of the encoder.
        corrected: With the load estimate as it should be, instead of as published.
        folder: Where its files are; the reference data by default.
    """

    name: str
    dtype: torch.dtype = torch.float64
    folded: bool = True
    corrected: bool = False
    folder: Path | None = None

    def _path(self, ending: str) -> Path:
        file = f'{self.name}_{ending}'
        return self.folder / file if self.folder else shared_path(f'golden/m3vit/{file}')

    def _load(self, ending: str) -> dict:
        if self.folder:
            return load_compressed(self.folder / f'{self.name}_{ending}.xz')
        return torch.load(self._path(ending), weights_only=True)

    @cached_property
    def meta(self) -> dict:
        return json.loads(self._path('meta.json').read_text())

    @cached_property
    def expected(self) -> dict:
        return self._load('expected.pth')

    @cached_property
    def checkpoint(self) -> dict[str, Tensor]:
        return self._load('checkpoint.pth')['state_dict']

    @property
    def tasks(self) -> dict[str, dict]:
        """In another order than the published one, which must not matter."""
        weights = self.meta['loss_weights']
        tasks = family_a_tasks(self.meta['outputs_per_task'], loss_weights=weights)
        if 'human_parts' in tasks:
            tasks['human_parts']['type'] = 'SemSeg'  # four parts, and not the seven that HumanParts knows
        return dict(reversed(tasks.items()))

    def config(self) -> dict:
        meta, width = self.meta, self.meta['width_d']
        backbone = dict(
            type='M3ViT',
            arch=dict(embed_dims=width, num_layers=meta['blocks'], num_heads=meta['attention_heads']),
            img_size=(meta['image_height'], meta['image_width']),
            num_experts=meta['experts_E'],
            top_k=meta['top_k'],
            expert_ratio=meta['expert_hidden_ratio'],
            gate='multi' if meta['router'] == 'multi_gate' else 'conditioned',
            task_dims=meta['task_feature_dim_D'],
            gate_input_ahead='before attention' in meta['gate_input'],
            noise=meta['noise_sigma'],
        )
        levels = meta['tam_levels']
        head = dict(type='PUPHead', in_channels=width, embed_dims=meta['decoder_width'], tam_levels=levels)
        balance = dict(type='ImportanceLoadLoss', legacy_load=not self.corrected)
        criterion = dict(
            type='MultiTaskCriterion',
            auxiliary={f'tam_level{level}': 1.0 for level in levels},
            auxiliary_losses=dict(balance=balance),
        )
        options = dict(tasks=self.tasks, folded_tasks=self.folded)
        return dict(type='MultiTaskEncoderDecoder', backbone=backbone, decode_head=head, criterion=criterion, **options)

    def model(self) -> nn.Module:
        """Ours with the published weights."""
        model = MODELS.build(self.config()).to(self.dtype)
        state, left_out = M3VIT.to_ours(self.checkpoint)
        assert not left_out
        model.load_state_dict(state)
        return model

    def images(self) -> Tensor:
        return self.expected['input'].to(self.dtype)

    def samples(self) -> list[MultiTaskDataSample]:
        """Labels; the published targets of depth and normals are ignored where they are 255."""
        targets = {name: self.expected['targets'][name].to(self.dtype) for name in self.tasks}
        samples = []
        for i in range(len(self.expected['input'])):
            labels = {name: target[i] for name, target in targets.items()}
            samples.append(MultiTaskDataSample(gt=PixelData(**labels)))
        return samples

    def inject_noise(self, model: nn.Module, index: int) -> None:
        """Make the gates draw the golden noise of the training pass ``index``."""
        if 'noise' not in self.expected:
            return
        noise = self.expected['noise'][index]
        for layer in (layer for layer in model.backbone.layers if hasattr(layer, 'router')):
            given = [noise[f'{_golden_layer(layer.name)}.{task}'] for task in model.tasks]
            layer.router.gate.draw = _Draws(given)

    def published(self, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """By published key, without the prefix, what is by ours."""
        return {key.removeprefix('module.'): x for key, x in M3VIT.to_published(named).items()}


def load_compressed(path: Path) -> dict:
    return torch.load(io.BytesIO(lzma.decompress(path.read_bytes())), weights_only=True)


class _Draws:
    """Gives the tensors (B*L, E) out one by one, or as many together as are asked for."""

    def __init__(self, given: list[Tensor]) -> None:
        self.given = list(given)

    def __call__(self, like: Tensor) -> Tensor:
        drawn, self.given = self.given[: len(like)], self.given[len(like) :]
        return torch.stack(drawn).to(like.dtype).view_as(like)


def _golden_layer(name: str) -> str:
    return name.replace('backbone/block', 'layer')


def routing_by_name(trace: RouterTrace) -> dict:
    return {f'{_golden_layer(record.layer)}.{record.task}': record for record in trace.records}


def named_losses(golden: Golden, model: nn.Module, weighted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Under the golden names: unweighted per prediction, the balance before its factor, and the totals."""
    found, task_total = {}, 0
    for key, value in weighted.items():
        name = key.removeprefix('loss_')
        if name == 'balance':
            found['balance_sum'] = value / 0.01
            continue
        task_total = task_total + value
        task = next(task for task in golden.tasks if name.endswith(task))
        found[name] = value / model.tasks[task].loss_weight
    return {**found, 'task_total': task_total, 'total': sum(weighted.values())}


def run(golden: Golden) -> Iterator[tuple[str, float, float]]:
    """(what, deviation, tolerance) of every number: evaluation, routing, training, gradients, one SGD step."""
    exact, expected = golden.dtype == torch.float64, golden.expected
    maps, gates, scalars, norms, after = (2e-6, 1e-6, 1e-6, 1e-6, 2e-6) if exact else (1e-4, 1e-5, 1e-5, 1e-3, 1e-3)
    balance = 1e-6 if exact else 1e-4

    def routing(what: str, trace: RouterTrace, wanted: Mapping):
        records = routing_by_name(trace)
        assert set(records) == set(wanted)
        for name, values in wanted.items():
            record = records[name]
            chosen = record.flat_experts
            assert torch.equal(chosen.sort().values, values['topk_idx'].sort().values), f'{what} {name}: other experts'
            yield f'{what} gates {name}', largest(record.flat_gates.gather(1, chosen), values['gates'], True), gates
            if 'probs' in values:
                yield f'{what} probabilities {name}', largest(record.flat_probabilities, values['probs'], True), gates

    def losses(what: str, found: Mapping[str, Tensor], wanted: Mapping[str, float]):
        for name, value in wanted.items():
            if name in found:
                tolerance = balance if 'balance' in name else scalars
                yield f'{what} {name}', abs(found[name].item() - value) / max(abs(value), 1e-12), tolerance
            else:  # the one-by-one steps also give parts by task, whose sums are compared
                assert name.startswith(('balance_', 'total_')), name

    model, images = golden.model().eval(), golden.images()
    with torch.no_grad(), trace_routing() as trace:
        feats = model.extract_feat(images)
        output = model.decode_head(feats)
    assert not output.auxiliary
    for task, wanted in expected['eval_outputs'].items():
        yield (
            f'evaluation {task}',
            largest(output.logits[task], wanted.to(golden.dtype), True),
            maps if wanted.dtype != torch.float16 else 5e-3,
        )
    for task, wanted in expected.get('eval_tokens', {}).items():
        ours = feats.of(task)[0].flatten(2).transpose(1, 2)
        yield f'tokens {task}', largest(ours, wanted[:, 1:], True), maps
    yield from routing('evaluation', trace, expected['eval_routing'])

    wanted = expected['corrected_load'] if golden.corrected else expected
    golden.inject_noise(model.train(), 0)
    with trace_routing() as trace:
        output = model.decode(images)
    model.zero_grad()
    golden.inject_noise(model, 0)
    # The statistics of the norms have to move once.
    state = {key: x.clone() for key, x in golden.model().state_dict().items()}
    model.load_state_dict(state)
    weighted = model.loss(images, golden.samples())
    sum(weighted.values()).backward()
    with torch.no_grad():
        ours = {**output.logits, **{f'{g}_{t}': x for g, xs in output.auxiliary.items() for t, x in xs.items()}}
        for name, map_ in expected['train_outputs'].items():
            x = nn.functional.interpolate(ours[name], size=map_.shape[-2:], mode='bilinear', align_corners=False)
            yield f'training {name}', largest(x, map_, True), maps
        yield from losses('training loss', named_losses(golden, model, weighted), wanted['losses'])
        if not golden.corrected:
            yield from routing('training', trace, expected['train_routing'])
        loss = ImportanceLoadLoss(legacy_load=not golden.corrected)
        parts = wanted['routing'] if golden.corrected else expected['train_routing']
        for name, record in routing_by_name(trace).items():
            yield f'load {name}', largest(loss.load(record), parts[name]['load'], False), balance
            value = parts[name]['balance']
            yield f'balance {name}', abs(loss.of_record(record).item() - value) / max(abs(value), 1e-12), balance
        gradients = golden.published({key: p.grad for key, p in model.named_parameters()})
        yield from compare_norms({key: g.norm().item() for key, g in gradients.items()}, wanted['grad_norms'], norms)
        for key, gradient in wanted['grads'].items():
            scale = max(gradient.abs().max().item(), 1e-4 * max(wanted['grad_norms'].values()))
            yield f'gradient {key}', largest(gradients[key], gradient, True) / scale, norms
        buffers = golden.published({k: x for k, x in model.named_buffers() if not k.startswith('data_preprocessor')})
        for key, x in expected['bn_after_step'].items():
            yield f'statistics {key}', largest(buffers[key], x, False), max(norms, 1e-6)
        for parameter in model.parameters():
            parameter -= golden.meta['sgd_step']['lr'] * parameter.grad
        if not golden.corrected:
            with trace_routing() as trace:
                logits = model.eval()(images)
            for task, x in expected['eval_outputs_after_step'].items():
                yield f'after a step {task}', largest(logits[task], x, True), after
            yield from routing('after a step', trace, expected['eval_routing_after_step'])
        golden.inject_noise(model.train(), 1)
        again = named_losses(golden, model, model.loss(images, golden.samples()))
        yield from losses('after a step, loss', again, wanted['losses_after_step'])
