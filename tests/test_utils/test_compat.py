import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

import mlore_mm  # noqa: F401  (its import is what allows the checkpoints below)

REPO = Path(__file__).resolve().parents[2]


class ToyModel(BaseModel):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, 1)

    def forward(self, inputs, mode='tensor'):
        return dict(loss=self.linear(torch.stack(inputs)).square().mean())


def make_runner(work_dir: Path, max_iters: int, **kwargs) -> Runner:
    model = ToyModel()
    return Runner(
        model,
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=[dict(inputs=torch.ones(2))] * 4, batch_size=2, sampler=dict(type=DefaultSampler), num_workers=0
        ),
        train_cfg=dict(by_epoch=False, max_iters=max_iters),
        optim_wrapper=OptimWrapper(torch.optim.Adam(model.parameters())),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=2, by_epoch=False)),
        experiment_name=f'{work_dir.name}_{max_iters}',
        **kwargs,
    )


def test_checkpoint_of_the_runner_is_read_safely_and_resumed(tmp_path):
    runner = make_runner(tmp_path, max_iters=2)
    runner.message_hub.update_info('best', np.float64(0.5))  # as CheckpointHook keeps the best score
    runner.message_hub.update_info('names', np.array(['semseg', 'depth']))
    runner.train()
    checkpoint = torch.load(tmp_path / 'iter_2.pth', weights_only=True)
    losses = checkpoint['message_hub']['log_scalars']['train/loss']
    assert losses.mean() == pytest.approx(runner.message_hub.get_scalar('train/loss').mean())
    assert checkpoint['message_hub']['runtime_info']['best'] == 0.5

    resumed = make_runner(tmp_path, max_iters=4, load_from=str(tmp_path / 'iter_2.pth'), resume=True)
    resumed.train()
    assert len(resumed.message_hub.get_scalar('train/loss').data[0]) == 4
    assert resumed.message_hub.get_info('best') == 0.5


@pytest.mark.parametrize('kind', '?bhilqBHILQefd')
def test_numpy_values_of_every_kind_are_read(tmp_path, kind):
    values = dict(scalar=np.ones((), dtype=kind)[()], array=np.arange(2).astype(kind))
    torch.save(values, tmp_path / 'values.pth')
    read = torch.load(tmp_path / 'values.pth', weights_only=True)
    assert read['scalar'].dtype == values['scalar'].dtype
    np.testing.assert_array_equal(read['array'], values['array'])


class Call:
    """Pickles as a call, which is how a file brings code along."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ('function', 'args'),
    [
        (os.system, ('touch {}',)),
        (eval, ('open({!r}, "w")',)),
        (getattr, (np.ndarray, 'tofile')),
        (getattr, (torch.Tensor, '__class__')),
    ],
    ids=['system', 'eval', 'getattr of another class', 'getattr of a dunder'],
)
def test_files_that_bring_code_are_refused(tmp_path, function, args):
    target = tmp_path / 'created'
    args = [arg.format(str(target)) if isinstance(arg, str) else arg for arg in args]
    torch.save(dict(state_dict={}, meta=Call(function, *args)), tmp_path / 'bad.pth')
    with pytest.raises(Exception, match='(?i)unsupported|only statistics|not allowed'):
        torch.load(tmp_path / 'bad.pth', weights_only=True)
    assert not target.exists()


def run_with_torchvision(tmp_path: Path, library: bytes) -> str:
    """Import a stand-in for torchvision, with the given library of operators, beside a PyTorch without CUDA."""
    package = tmp_path / 'torchvision'
    package.mkdir()
    (package / '_C.so').write_bytes(library)
    # What the real package does on import, and what fails where the operator is unknown.
    (package / '__init__.py').write_text(
        'import torch\ntorch.library.register_fake("torchvision::nms")(lambda *a: a[0])'
    )
    code = (
        'import torch\n'
        'torch.version.cuda = torch.version.hip = None\n'
        'import mlore_mm\n'
        'from mlore_mm.utils.compat import define_torchvision_operators\n'
        'assert not define_torchvision_operators()\n'  # once is enough
        'import torchvision\n'
        'print("imported")'
    )
    paths = os.pathsep.join([str(tmp_path), str(REPO)])
    run = subprocess.run(
        [sys.executable, '-c', code],
        env=os.environ | {'PYTHONPATH': paths},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    return run.stdout + run.stderr


@pytest.mark.skipif(sys.platform != 'linux', reason='only the Linux wheels of torchvision have the fault')
def test_torchvision_imports_where_its_library_does_not_load(tmp_path):
    assert run_with_torchvision(tmp_path, b'not a library').endswith('imported\n')


@pytest.mark.skipif(sys.platform != 'linux', reason='only the Linux wheels of torchvision have the fault')
def test_a_library_that_loads_is_left_to_define_its_operators(tmp_path):
    """It would collide with ours. The stand-in loads but defines nothing, so nothing is defined at all."""
    loadable = Path(np._core._multiarray_umath.__file__).read_bytes()
    assert 'operator torchvision::nms does not exist' in run_with_torchvision(tmp_path, loadable)


def test_optimizers_come_without_transformers_until_one_is_asked_for():
    pytest.importorskip('transformers', reason='nothing to spare without it')
    code = (
        'import sys, mlore_mm, torch; from mmengine.optim import OPTIMIZERS\n'
        'assert "transformers" not in sys.modules\n'
        'parameters = [torch.nn.Parameter(torch.ones(2, 2))]\n'
        'print(type(OPTIMIZERS.build(dict(type="Adafactor", params=parameters))).__module__)'
    )
    found = subprocess.run([sys.executable, '-c', code], cwd=REPO, capture_output=True, text=True, check=True)
    assert found.stdout.split()[-1] == 'transformers.optimization'
