"""What every system has to do: see tests/systems.py for how to join."""

import shutil
import traceback

import numpy as np
import pytest
import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from torch.testing import assert_close

from mlore_mm.apis.deploy.export import export_model
from mlore_mm.apis.deploy.export_check import check_export
from mlore_mm.engine import MultiTaskRunner
from mlore_mm.engine.checkpoints import differences
from mlore_mm.models.ops import PortableSyncBatchNorm
from tests.distributed import run_in_processes
from tests.shared import REPO
from tests.systems import SYSTEMS, batch, train_in_bf16


@pytest.fixture(params=SYSTEMS)
def system(request):
    return SYSTEMS[request.param]


def skip(reason: str) -> None:
    if reason:
        pytest.skip(reason)


def test_a_subset_is_the_full_run(system):
    skip(system.not_exact)
    model = system.build().eval()
    images, _ = batch(model, system.size)
    with torch.no_grad():
        full = model(images)
        for name in full:
            assert_close(model(images, tasks=[name]), {name: full[name]}, rtol=1e-4, atol=1e-5)
    assert set(full) == set(model.tasks.main)


def test_two_sizes(system):
    model = system.build().eval()
    for size in (system.size, system.other_size):
        images, _ = batch(model, size)
        if size == system.other_size and system.refused:
            with pytest.raises(ValueError, match=system.refused):
                model(images)
            continue
        with torch.no_grad():
            logits = model(images)
        for name, x in logits.items():
            assert x.shape == (2, model.tasks[name].out_channels, *size)
            assert x.isfinite().all()


def test_losses_of_single_tasks_add_up(system):
    skip(system.not_additive)
    model = system.build(**system.deterministic).eval()  # evaluation: statistics do not move from call to call
    model.decode_head.train()
    for module in model.decode_head.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval()
    images, samples = batch(model, system.size)
    joint = model(images, samples, mode='loss')
    single = {}
    for name in model.tasks:
        single.update({k: x for k, x in model(images, samples, mode='loss', tasks=[name]).items() if name in k})
    assert {key for key in joint if 'balance' not in key} == set(single)
    assert_close({key: joint[key] for key in single}, single, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_export_to_onnx(system, tmp_path):
    skip(system.not_exported)
    for name in ('onnx', 'onnxscript', 'onnxruntime'):
        pytest.importorskip(name, reason='export to ONNX needs it: pip install onnx onnxscript onnxruntime')
    model = system.build(tasks=system.few_tasks).eval()  # the same operators as with all tasks, in half the time
    metadata = export_model(model, tmp_path / 'model.onnx', size=system.size)
    photo = np.random.default_rng(0).integers(0, 255, (*system.size, 3), dtype=np.uint8)
    check = check_export(tmp_path / 'model.onnx', 'onnx', model, metadata, [photo], repeats=1)
    assert max(check.deviations.values()) <= 1e-4, check.deviations


CONFIG = """
_base_ = ['{repo}/configs/_base_/schedules/adam_40k.py', '{repo}/configs/_base_/default_runtime.py']
custom_imports = dict(imports=['mlore_mm', 'tests.systems', 'tests.toy'], allow_failed_imports=False)
tasks = {tasks}
aux_tasks = {aux_tasks}
model = {model}
dataset = dict(type='SystemDataset', size={size})
train_dataloader = dict(batch_size=2, sampler=dict(type='ResumableSampler', shuffle=True), dataset=dataset)
val_dataloader, val_evaluator, val_cfg = None, None, None
test_dataloader, test_evaluator, test_cfg = None, None, None
train_cfg = dict(max_iters=4)
default_hooks = dict(checkpoint=dict(interval=2, max_keep_ckpts=2, save_best=None))
randomness = dict(seed=0)
"""


def test_resume_is_bit_identical(system, tmp_path):
    model = system.config()
    tasks, aux_tasks = model.pop('tasks'), model.pop('aux_tasks', [])
    text = CONFIG.format(repo=REPO.as_posix(), tasks=tasks, aux_tasks=aux_tasks, model=model, size=system.size)
    (tmp_path / 'config.py').write_text(text)
    cfg = Config.fromfile(tmp_path / 'config.py')
    MultiTaskRunner.from_cfg(Config(dict(cfg, work_dir=str(tmp_path / 'straight')))).train()
    (tmp_path / 'resumed').mkdir()
    shutil.copy(tmp_path / 'straight' / 'iter_2.pth', tmp_path / 'resumed')
    resumed = dict(cfg, work_dir=str(tmp_path / 'resumed'), load_from=str(tmp_path / 'resumed/iter_2.pth'), resume=True)
    MultiTaskRunner.from_cfg(Config(resumed)).train()
    assert differences(tmp_path / 'straight/iter_4.pth', tmp_path / 'resumed/iter_4.pth') == []


def test_bfloat16(system):
    totals = train_in_bf16(system, steps=3)
    assert totals[-1] < totals[0]


# ---- two processes, in fp64: in fp32 rounding decides signs of L1 losses, and that shows in all gradients ---------
def train_step(model, system, first: int, count: int):
    """Losses and gradients of a part of the batch of four."""
    module = getattr(model, 'module', model)
    images, samples = batch(module, system.size, 4)
    losses = model(images[first : first + count].double(), samples[first : first + count], mode='loss')
    sum(losses.values()).backward()
    trained = {name: p.grad for name, p in module.named_parameters() if p.requires_grad}
    return {name: x.item() for name, x in losses.items()}, trained


def in_a_process(names: list[str]):
    """What every system gives, or its error as text."""
    found = {}
    for name in names:
        system = SYSTEMS[name]
        try:
            model = PortableSyncBatchNorm.convert(system.build(**system.deterministic).double().train())
            model = MMDistributedDataParallel(model, broadcast_buffers=False)
            found[name] = train_step(model, system, 2 * dist.get_rank(), 2)
        except Exception:  # the other systems go on
            found[name] = traceback.format_exc()
    return found


@pytest.fixture(scope='module')
def halves(tmp_path_factory):
    """By system what each of two processes found; all systems in one start of processes, which costs the most."""
    names = [name for name, system in SYSTEMS.items() if not system.not_split]
    return run_in_processes(in_a_process, tmp_path_factory.mktemp('processes'), names)


def test_two_processes_equal_one(system, halves):
    skip(system.not_split)
    parts = [part[system.name] for part in halves]
    assert not any(isinstance(part, str) for part in parts), parts
    losses, gradients = train_step(system.build(**system.deterministic).double().train(), system, 0, 4)
    for name, loss in losses.items():
        assert sum(part[0][name] for part in parts) / 2 == pytest.approx(loss, rel=1e-6), name
    scale = max(float(g.abs().max()) for g in gradients.values())
    for name, gradient in gradients.items():
        assert_close(parts[0][1][name], gradient, rtol=1e-6, atol=1e-6 * scale, msg=lambda m, n=name: f'{n}: {m}')
