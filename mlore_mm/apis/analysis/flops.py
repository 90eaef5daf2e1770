"""Counts the multiplications of a model, part by part, without computing anything."""

import copy
from collections.abc import Callable, Sequence

import torch
from mmengine.config import Config
from torch.utils.flop_counter import FlopCounterMode

from mlore_mm.apis.analysis.model_parts import run_in_parts
from mlore_mm.apis.inference.init_model import init_model
from mlore_mm.models.backbones.vit import PlainViT
from mlore_mm.models.decode_heads import MLoREDecodeHead
from mlore_mm.models.multi_task_encoder_decoder import MultiTaskEncoderDecoder
from mlore_mm.registry import class_of

FORMS = ('wide', 'folded', 'deploy', 'deploy-factors')


def build_for_counting(cfg: Config, shape: tuple[int, int] | None = None) -> MultiTaskEncoderDecoder:
    """The model of a config on the meta device, where tensors have shapes and no numbers; no checkpoint is loaded.

    A ``shape`` (H, W) other than the config's becomes its ``crop_size``, which position embeddings and routers follow.
    """
    cfg = copy.deepcopy(cfg)
    cfg.model.backbone.pop('init_cfg', None)
    if shape is not None:
        cfg.crop_size = tuple(shape)
    try:
        with torch.device('meta'):
            return init_model(cfg, device='meta')
    except (NotImplementedError, RuntimeError):  # a backbone that computes with numbers while it is built
        return init_model(cfg).to('meta')


def padded_shape(model: MultiTaskEncoderDecoder, shape: tuple[int, int]) -> tuple[int, int]:
    """The size (H, W) to which the data preprocessor pads an image of this size."""
    divisor = getattr(model.data_preprocessor, 'size_divisor', 1) or 1
    return tuple(-(-side // divisor) * divisor for side in shape)


def default_forms(cfg: Config) -> tuple[str, ...]:
    """Forms worth a column: those of MLoRE, the literal one on a plain ViT only; one of any other decoder."""
    if not _is(cfg.model.decode_head, MLoREDecodeHead):
        return ('wide',)
    return ('literal', 'wide', 'deploy') if _is(cfg.model.backbone, PlainViT) else ('wide', 'deploy')


def _is(config: dict, kind: type) -> bool:
    cls = class_of(config)
    return isinstance(cls, type) and issubclass(cls, kind)


def set_form(model: MultiTaskEncoderDecoder, form: str) -> None:
    """Put a MLoRE decoder into one of :data:`FORMS`; other decoders have one form only and stay as they are.

    Raises:
        ValueError: An unknown form.
    """
    if form not in FORMS:
        raise ValueError(f'form is one of {", ".join(FORMS)}, but got {form!r}.')
    head = model.decode_head
    if not isinstance(head, MLoREDecodeHead):
        return
    if form.startswith('deploy'):
        head.switch_to_deploy(precompute=form == 'deploy')
        return
    for block in head.blocks():
        block.form = form


def count_macs(
    model: torch.nn.Module,
    shape: tuple[int, int],
    tasks: Sequence[str] | None = None,
    forward: Callable = run_in_parts,
) -> dict[str, int]:
    """Multiply-accumulates of one image in evaluation, by part, and their sum as 'total'.

    Convolutions, linear layers and every other matrix product count, attention's two among them; norms, activations,
    softmax and interpolation by ``F.interpolate`` do not. This is the convention of the published tables, in which
    PASCAL-Context ViT-L at 512x512 has 826.6 GMAC when every expert is computed.

    Args:
        model: On the meta device, or on any other, where it then really computes.
        shape: (H, W) of the image; it is padded as the data preprocessor does.
        tasks: Names of the tasks to compute; all for None.
        forward: Runs the model in parts, as :func:`run_in_parts` does.
    """
    macs: dict[str, int] = {}

    def count(part: str, function: Callable, *args):
        with FlopCounterMode(display=False) as counter:
            result = function(*args)
        macs[part] = macs.get(part, 0) + counter.get_total_flops() // 2
        return result

    device = next(model.parameters()).device
    images = torch.zeros(1, len(model.data_preprocessor.mean), *padded_shape(model, shape), device=device)
    with torch.no_grad(), torch.device(device):
        forward(model, images, list(model.tasks) if tasks is None else tasks, count)
    return {**macs, 'total': sum(macs.values())}
