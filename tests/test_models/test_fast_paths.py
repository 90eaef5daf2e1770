"""Around the fast decoder: half precision, compilation, no waiting for the host, deployment, training helpers."""

from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from torch.testing import assert_close

from mlore_mm.engine import WatchedAmpOptimWrapper
from mlore_mm.models.layers.folded_mixture import folding_pays
from mlore_mm.models.ops import winograd
from mlore_mm.models.ops.recompute import recompute
from mlore_mm.registry import MODELS, RUNNERS
from mlore_mm.routing import trace_routing
from mlore_mm.structures import MultiTaskDataSample
from tests.mlore_models import TASKS, make_samples, randomise
from tests.toy import write_config

HALF = {'bfloat16': 0.1, 'float16': 0.02}  # relative deviation that 8 and 11 bits may cause over some thirty operations
FORMS = ('wide', 'folded', 'deploy')
MODEL = dict(
    type='MultiTaskEncoderDecoder',
    backbone=dict(
        type='PlainViT',
        arch=dict(embed_dims=16, num_layers=2, num_heads=2),
        img_size=(32, 48),
        out_indices=(0, 1),
        drop_path_rate=0.0,
    ),
    decode_head=dict(
        type='MLoREDecodeHead',
        in_channels=[16, 16],
        embed_dims=12,
        ranks=[3, 7, 2, 5],
        task_rank=2,
        top_k=2,
        grid=(2, 3),
    ),
    criterion=dict(
        type='MultiTaskCriterion',
        auxiliary_losses=dict(load_balance=dict(type='LoadBalanceLoss', loss_weight=0.01)),
    ),
)


def build(tasks=tuple(TASKS), seed=0, **head):
    """Two stages, four blocks."""
    config = dict(MODEL, tasks={name: TASKS[name] for name in tasks})
    config['decode_head'] = dict(config['decode_head'], **head)
    model = MODELS.build(config)
    randomise(model, seed)
    return model


def in_form(model, form):
    model = deepcopy(model).eval()
    if form == 'deploy':
        model.switch_to_deploy()
    for block in model.decode_head.blocks():
        block.form = 'auto' if form == 'deploy' else form
    return model


# ---- half precision --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize('dtype', HALF)
@pytest.mark.parametrize('form', FORMS)
def test_half_precision_is_near_full(dtype, form):
    model, images = in_form(build(), form), torch.randn(2, 3, 32, 48)
    with torch.no_grad():
        wanted = model(images)
        with torch.autocast('cpu', getattr(torch, dtype)), trace_routing() as trace:
            outputs = model(images)
    for name, logits in outputs.items():
        assert (logits.float() - wanted[name]).norm() < HALF[dtype] * wanted[name].norm(), name
    assert {r.gates.dtype for r in trace.records} == {torch.float32}, 'routers decide in full precision'


@pytest.mark.parametrize('dtype', HALF)
def test_training_in_half_precision(dtype):
    """Two hundred steps: nothing becomes NaN or infinite, the loss falls, and the weights stay in full precision."""
    model, images = build(('semseg', 'edge'), seed=1, in_channels=[16], in_index=[0]), torch.randn(2, 3, 32, 48)
    samples = make_samples(model, images)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    scaler = torch.amp.GradScaler('cpu', enabled=dtype == 'float16', init_scale=2.0**8)
    totals = []
    model.train()
    for _ in range(200):
        with torch.autocast('cpu', getattr(torch, dtype)):
            losses = model(images, samples, mode='loss')
        totals.append(sum(losses.values()))
        optimizer.zero_grad()
        scaler.scale(totals[-1]).backward()
        scaler.step(optimizer)
        scaler.update()
    assert torch.stack(totals).isfinite().all()
    assert totals[-1] < 0.9 * totals[0]
    assert all(x.isfinite().all() for x in model.state_dict().values())
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_losses_are_computed_in_full_precision():
    """Sums over all pixels would lose their small terms in 16 bits."""
    model, images = build().train(), torch.randn(2, 3, 32, 48)
    with torch.autocast('cpu', torch.bfloat16):
        losses = model(images, make_samples(model, images), mode='loss')
    assert {name: x.dtype for name, x in losses.items()} == dict.fromkeys(losses, torch.float32)


@pytest.mark.parametrize('dtype', HALF if torch.cuda.is_available() else [None])
def test_amp_optim_wrapper(dtype):
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    model, images = build(('semseg', 'edge'), seed=1, in_channels=[16], in_index=[0]), torch.randn(2, 3, 32, 48)
    samples = [sample.to(device) for sample in make_samples(model, images)]
    model, images = model.to(device).train(), images.to(device)
    wrapper = WatchedAmpOptimWrapper(dtype=dtype, optimizer=torch.optim.Adam(model.parameters(), lr=1e-3))
    totals = []
    for _ in range(6):
        with wrapper.optim_context(model), trace_routing() as trace:
            total = sum(model(images, samples, mode='loss').values())
        wrapper.update_params(total)
        totals.append(total.detach())
    assert torch.stack(totals).isfinite().all()
    assert totals[-1] < totals[0]
    assert all(r.gates.dtype == torch.float32 for r in trace.records)
    norms = [x.running_mean.dtype for x in model.modules() if hasattr(x, 'running_mean')]
    assert set(norms) == {torch.float32}


@pytest.mark.parametrize('has', [True, False])
def test_a_processor_without_bf16_convolves_in_fp32(monkeypatch, has):
    monkeypatch.setattr(winograd, 'has_bf16', lambda: has)
    x, kernel = torch.randn(1, 8, 6, 6), torch.randn(8, 8, 3, 3)
    with torch.autocast('cpu', torch.bfloat16):
        (found,) = winograd.convs3x3(x, [kernel], [winograd.Conv(0, 0)])
    assert found.dtype == torch.bfloat16
    exact = torch.nn.functional.conv2d(x, kernel, padding=1)[0].bfloat16()
    assert torch.equal(found, exact) is not has


# ---- compilation -----------------------------------------------------------------------------------------------------
@pytest.fixture
def small():
    """One stage, two tasks: tracing is slow."""
    torch._dynamo.reset()
    head = build(('semseg', 'depth'), in_channels=[16], in_index=[0]).decode_head
    return head, [torch.randn(2, 16, 2, 3)]


@pytest.mark.parametrize('form', FORMS)
def test_compiles_without_graph_breaks_in_evaluation(small, form):
    head, feats = small
    if form == 'deploy':
        head.switch_to_deploy()
    for block in head.blocks():
        block.form = form
    head.eval()
    with torch.no_grad():
        compiled = torch.compile(head, fullgraph=True, backend='eager')
        assert_close(compiled(feats).logits, head(feats).logits, atol=1e-5, rtol=1e-5)


def test_compiles_without_graph_breaks_in_training(small):
    """With the trace that the balance loss reads; outputs, records and gradients are those of the plain decoder."""
    head, feats = small
    head.train()
    for module in head.modules():
        if hasattr(module, 'noise'):
            module.noise = 'none'
    found = []
    for function in (head, torch.compile(head, fullgraph=True, backend='aot_eager')):
        head.zero_grad()
        with trace_routing() as trace:
            logits = function(feats).logits
        sum(x.square().mean() for x in logits.values()).backward()
        gates = {(record.layer, record.task): record.gates for record in trace.records}
        found.append(
            (logits, gates, {name: p.grad.clone() for name, p in head.named_parameters() if p.grad is not None})
        )
    assert len(found[0][1]) == 4
    assert_close(found[1], found[0], atol=1e-5, rtol=1e-4)


# ---- no waiting for the host -----------------------------------------------------------------------------------------
def test_nothing_depends_on_values():
    """On the meta device there are no values: ``.item()``, ``nonzero`` or an index by a mask would raise.

    Each of them would make a GPU wait for the host.
    """
    model = build().to('meta').train()
    images = torch.randn(2, 3, 32, 48)
    samples = make_samples(model, images)
    on_meta = [
        MultiTaskDataSample(gt=PixelData(**{name: sample.gt.get(name).to('meta') for name in model.tasks}))
        for sample in samples
    ]
    sum(model(images.to('meta'), on_meta, mode='loss').values()).backward()
    assert all(p.grad is not None for name, p in model.named_parameters() if 'decode_head' in name)
    for form in FORMS:
        with torch.no_grad():
            assert in_form(model, form)(images.to('meta'))['edge'].shape == (2, 1, 32, 48)


# ---- deployment ------------------------------------------------------------------------------------------------------
def test_deployed_weights_save_and_load(tmp_path):
    model, images = build().eval(), torch.randn(2, 3, 32, 48)
    with torch.no_grad():
        wanted = model(images)
        model.switch_to_deploy()
        torch.save(model.state_dict(), tmp_path / 'deployed.pth')
        assert_close(model(images), wanted, atol=1e-4, rtol=1e-4)
        again = build(seed=7, deploy=True).eval()
        again.load_state_dict(torch.load(tmp_path / 'deployed.pth', weights_only=True))
        assert_close(again(images), wanted, atol=1e-4, rtol=1e-4)
        assert_close(again(images, tasks=['edge']), {'edge': wanted['edge']}, atol=1e-4, rtol=1e-4)
    assert not [name for name, _ in again.named_parameters() if 'experts' in name]


# ---- training helpers of mmengine ------------------------------------------------------------------------------------
RUN = """
model = dict(
    type='MultiTaskEncoderDecoder',
    data_preprocessor=dict(type='MultiTaskDataPreprocessor', size_divisor=16),
    backbone=dict(
        type='PlainViT', arch=dict(embed_dims=8, num_layers=1, num_heads=2), img_size=(16, 16), out_indices=[0]),
    decode_head=dict(
        type='MLoREDecodeHead', in_channels=[8], embed_dims=8, ranks=[2, 3, 4], task_rank=2, top_k=2, grid=(1, 1)),
)
custom_hooks = [dict(type='EMAHook', momentum=0.5)]
optim_wrapper = dict(accumulative_counts=2, optimizer=dict(lr=0.01))
"""


def test_moving_average_and_gradient_accumulation(tmp_path):
    cfg = Config.fromfile(write_config(tmp_path, more=RUN))
    cfg.work_dir, cfg.experiment_name = str(tmp_path / 'work'), 'moving_average'
    RUNNERS.build(cfg).train()
    saved = torch.load(tmp_path / 'work' / 'iter_4.pth', weights_only=True)
    steps = {int(state['step']) for state in saved['optimizer']['state'].values()}
    assert steps == {2}, 'four batches, accumulated two by two'
    # Parts that are computed a second time for the backward pass count their batch once.
    counted = {int(x) for name, x in saved['ema_state_dict'].items() if name.endswith('num_batches_tracked')}
    assert counted == {4}
    # mmengine saves the average as the model and the model as the average.
    average, trained = saved['state_dict'], saved['ema_state_dict']
    weight = 'decode_head.stages.0.0.experts.expand'
    assert (average[weight] - trained[f'module.{weight}']).abs().max() > 1e-4
    assert all(x.isfinite().all() for x in average.values())


def test_gradients_in_evaluation_mode_reach_every_expert():
    """The folded form is for inference only: with gradients on, evaluation gives those of the wide form."""
    results = []
    for form in ('auto', 'wide'):
        model = build(grid=(8, 8), gate=dict(noise='none')).eval()
        for block in model.decode_head.blocks():
            block.form = form
        sum(x.square().mean() for x in model(torch.ones(1, 3, 128, 128)).values()).backward()
        results.append(model.decode_head.stages[0][0].experts.expand.grad)
    assert results[0].abs().max() > 0
    assert_close(results[0], results[1])


def test_recomputation_counts_a_batch_once():
    model = build(with_cp=True).train()
    sum(x.mean() for x in model(torch.randn(2, 3, 32, 48)).values()).backward()
    counts = {name: int(x) for name, x in model.named_buffers() if name.endswith('num_batches_tracked')}
    assert counts
    assert set(counts.values()) == {1}, counts


@pytest.mark.parametrize(
    ('pixels', 'share', 'pays'), [(9, None, False), (10, None, True), (36, 0.5, False), (37, 0.5, True)]
)
def test_when_folding_pays(pixels, share, pays):
    """Width 10: merging costs 900; a pixel spares 100, or 50 times the share of the chosen experts."""
    parts = SimpleNamespace(generic_conv=torch.nn.Conv2d(10, 10, 3))
    assert folding_pays(parts, pixels, share) is pays


def test_what_is_recomputed_counts_once_and_leaves_no_trace():
    trained, held, untracked = (torch.nn.BatchNorm1d(3, track_running_stats=track) for track in (True, True, False))
    held.eval()
    alike, calls, x = deepcopy(trained), [], torch.randn(4, 3, requires_grad=True)

    def function(x):
        calls.append(1)
        return untracked(held(trained(x))) ** 2

    recompute(function, x, norms=(torch.nn.Sequential(trained), held, untracked)).sum().backward()
    assert len(calls) == 2
    alike(x)
    assert_close(trained.state_dict(), alike.state_dict())
    assert [norm.momentum for norm in (trained, held, untracked)] == [0.1] * 3
    assert held.num_batches_tracked == 0
    with torch.no_grad():
        recompute(function, x)
    assert len(calls) == 3
    recompute(function, x)  # nothing is asked for, so nothing is made again
    assert len(calls) == 4
