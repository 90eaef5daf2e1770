"""Checkpoints that leave out an encoder that was not trained, and putting it back when they are loaded."""

from torch import Tensor, nn

from mlore_mm.models.adapters import is_adapter_weight, own_weights, without_adapters
from mlore_mm.utils.unwrap import bare_model

LEFT_OUT = 'left_out_encoder'  # in `meta`: a digest of the weights that are not there
_PREFIX = 'backbone.'


def leave_out_frozen(checkpoint: dict, model: nn.Module) -> None:
    """Take the frozen encoder out of a checkpoint that is about to be written, and leave its adapters in.

    No change where the encoder is trained.
    """
    model = bare_model(model)
    if not getattr(model, 'frozen_backbone', False):
        return
    for key, prefix in (('state_dict', _PREFIX), ('ema_state_dict', f'module.{_PREFIX}')):
        if key in checkpoint:
            weights = checkpoint[key].items()
            kept = {name: x for name, x in weights if not name.startswith(prefix) or is_adapter_weight(name)}
            checkpoint[key] = type(checkpoint[key])(kept)
    checkpoint.setdefault('meta', {})[LEFT_OUT] = encoder_digest(model)


def put_back_frozen(checkpoint: dict, model: nn.Module, source: str) -> None:
    """Complete a checkpoint without its encoder by the weights that the config names for it.

    They are named by ``init_cfg``, or by ``checkpoint_path`` or ``pretrained`` of a :class:`TimmBackbone`.

    Raises:
        ValueError: The config names none, or they are not those that the decoder was trained on.
    """
    digest = (checkpoint.get('meta') or {}).get(LEFT_OUT)
    if digest is None:
        return
    model = bare_model(model)
    if not model.backbone.is_init:
        if not any(getattr(model.backbone, key, None) for key in ('init_cfg', 'checkpoint_path', 'pretrained')):
            raise ValueError(
                f'{source} was written without its frozen encoder (save_trainable_only), and the config names no '
                "weights for it. Give model.backbone.init_cfg=dict(type='Pretrained', checkpoint=...), as in training."
            )
        with without_adapters(model.backbone):
            model.backbone.init_weights()
    found = encoder_digest(model)
    if abs(found - digest) > 1e-5 * abs(digest):
        raise ValueError(
            f'{source} was trained on another encoder than the config loads: its weights add up to {digest:.8g} in '
            f'magnitude, these to {found:.8g}. Give model.backbone.init_cfg the weights of the training.'
        )
    averages = checkpoint.get('ema_state_dict')
    for name, value in own_weights(model.backbone).items():
        checkpoint['state_dict'][_PREFIX + name] = value
        if averages is not None:
            averages[f'module.{_PREFIX}{name}'] = value


def encoder_digest(model: nn.Module) -> float:
    """Sum of the magnitudes of all weights of the encoder but its adapters."""
    values = [x for x in own_weights(model.backbone).values() if x.is_floating_point()]
    return sum(_magnitude(x) for x in values)


def _magnitude(x: Tensor) -> float:
    return x.detach().double().abs().sum().item()
