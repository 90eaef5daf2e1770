"""What is measured: published configurations with random weights, and every form of their decoder."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path

import torch
from literal_mlore import LiteralMLoREHead
from mmengine.config import Config
from mmengine.logging import MMLogger
from torch import Tensor, nn

from mlore_mm.apis import init_model

CONFIGS = {
    'PASCAL ViT-L': 'mlore_vitl_pascal',
    'PASCAL ViT-B': 'mlore_vitb_pascal',
    'PASCAL ViT-S': 'mlore_vits_pascal',
    'NYUD ViT-L': 'mlore_vitl_nyud',
}
# literal: benchmarks/literal_mlore.py. wide: experts side by side, the form of training. folded: trained weights,
# merged for each image. deploy: folded for good, every expert's kernel kept. deploy-factors: low-rank factors kept.
FORMS = ('literal', 'wide', 'folded', 'deploy', 'deploy-factors')
_FOLDER = Path(__file__).resolve().parents[1] / 'configs/mlore'


def read_config(name: str, decoder: dict | None = None, size: Sequence[int] | None = None, tasks: int | None = None):
    """A config without weights to load.

    Args:
        name: A name of ``CONFIGS``.
        decoder: Options of the decode head to override.
        size: (H, W) of the image, where it differs from the published one.
        tasks: Number of tasks; beyond the config's own ones, further regressions are added.
    """
    cfg = Config.fromfile(_FOLDER / f'{CONFIGS[name]}.py')
    cfg.model.backbone.pop('init_cfg', None)
    if size is not None:
        cfg.crop_size = tuple(size)
    cfg.model.decode_head.update(decoder or {})
    if tasks is not None:
        extra = {f'map{i}': dict(type='DenseRegression', out_channels=1) for i in range(tasks - len(cfg.tasks))}
        cfg.tasks = dict(list({**cfg.tasks, **extra}.items())[:tasks])
    return cfg


def build_model(cfg: Config, device: str = 'cpu') -> nn.Module:
    """A seeded model in evaluation mode."""
    torch.manual_seed(0)
    MMLogger.get_current_instance().setLevel('ERROR')  # mmengine lists every initialised parameter
    model = init_model(cfg)
    model.init_weights()
    return model.to(device).eval()


def settle_norms(head: nn.Module, feats: Sequence[Tensor]) -> None:
    """Take the statistics of batch norms from the given features, as if trained: outputs then depend on the input."""
    norms = [m for m in head.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        head.train()(feats)
    head.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def decoder_forms(head: nn.Module, names: Sequence[str]) -> dict[str, nn.Module]:
    """The decoder in the named forms, in evaluation mode. All but the deployed ones share their weights."""
    return {name: _form(head, name).eval() for name in names}


def _form(head: nn.Module, name: str) -> nn.Module:
    if name == 'literal':
        return LiteralMLoREHead(head)
    if name.startswith('deploy'):
        head = deepcopy(head)
        head.switch_to_deploy(precompute=name == 'deploy')
        return head
    return InForm(head, name)


class InForm(nn.Module):
    """A decoder whose blocks are told their form before each call; several of them may share one decoder."""

    def __init__(self, head: nn.Module, form: str) -> None:
        super().__init__()
        self.head, self.form = head, form

    def forward(self, feats: Sequence[Tensor]):
        for block in self.head.blocks():
            block.form = self.form
        return self.head(feats)


def image_size(model: nn.Module) -> tuple[int, int]:
    return tuple(x * model.backbone.patch_size for x in model.backbone.grid)


def make_images(model: nn.Module, batch: int) -> Tensor:
    device = next(model.parameters()).device
    return torch.randn(batch, 3, *image_size(model), device=device)


def make_features(model: nn.Module, batch: int) -> list[Tensor]:
    """Noise in place of the encoder's output, of unit variance as after a norm."""
    device, grid = next(model.parameters()).device, model.backbone.grid
    return [torch.randn(batch, c, *grid, device=device) for c in model.decode_head.in_channels]


def precision_context(device: str, precision: str):
    """``fp32`` is plain, ``bf16`` is autocast."""
    return torch.autocast(device.split(':')[0], torch.bfloat16) if precision == 'bf16' else nullcontext()


def forward_only(head: nn.Module, inputs, device: str, precision: str) -> Callable[[], object]:
    head.eval()

    def run():
        with torch.no_grad(), precision_context(device, precision):
            return head(inputs)

    return run


def decoder_step(
    head: nn.Module, feats: Sequence[Tensor], device: str, precision: str, clear: bool = True
) -> Callable[[], Tensor]:
    """Forward and backward of the decoder alone; gradients go to its weights and to the features, as in training.

    ``clear`` drops the gradients of the call before; without it they are added to, and keep their memory.
    """
    feats = [x.clone().requires_grad_() for x in feats]
    head.train()

    def run() -> Tensor:
        for tensor in (*head.parameters(), *feats) if clear else ():
            tensor.grad = None
        with precision_context(device, precision):
            logits = head(feats).logits
        loss = sum(x.float().square().mean() for x in logits.values())
        loss.backward()
        return loss

    return run


def model_step(
    model: nn.Module, head: nn.Module, images: Tensor, device: str, precision: str, clear: bool = True
) -> Callable[[], Tensor]:
    """Forward and backward of the whole model with the given decoder."""
    model.train(), head.train()

    def run() -> Tensor:
        if clear:
            model.zero_grad(set_to_none=True)
        with precision_context(device, precision):
            logits = head(model.extract_feat(images)).logits
        loss = sum(x.float().square().mean() for x in logits.values())
        loss.backward()
        return loss

    return run


def model_forward(model: nn.Module, head: nn.Module, images: Tensor, device: str, precision: str) -> Callable:
    """Images to logits at their size, with the given decoder."""
    model.eval(), head.eval()

    def run():
        with torch.no_grad(), precision_context(device, precision):
            logits = head(model.extract_feat(images)).logits
            size = images.shape[-2:]
            return {k: nn.functional.interpolate(x, size=size, mode='bilinear') for k, x in logits.items()}

    return run
