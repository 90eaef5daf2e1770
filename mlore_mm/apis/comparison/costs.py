"""What a model costs: parameters, multiplications, time for an image."""

import statistics
from collections.abc import Callable

from mmengine.config import Config
from torch import nn

from mlore_mm.apis.analysis.benchmark import images_per_second, random_batches
from mlore_mm.apis.analysis.flops import build_for_counting, count_macs, set_form
from mlore_mm.apis.inference.photo_pipeline import image_size

_IMAGES, _WARMUP, _REPEATS = 5, 2, 3


def parameter_counts(model: nn.Module) -> dict[str, int]:
    """``trainable`` and ``frozen`` parameters."""
    counts = dict(trainable=0, frozen=0)
    for parameter in model.parameters():
        counts['trainable' if parameter.requires_grad else 'frozen'] += parameter.numel()
    return counts


def model_costs(cfg: Config, model: nn.Module) -> dict[str, float]:
    """Costs of predicting one image at the size of training, in the form of deployment where the decoder has one.

    Args:
        cfg: The config, not bound.
        model: Trained; it is left in the form of deployment.

    Returns:
        ``trainable``, ``frozen``, ``gmacs`` and ``latency_ms`` (the median of three measurements); None for what cannot
        be measured.
    """
    size = image_size(cfg)
    return dict(
        **parameter_counts(model),
        gmacs=_try(lambda: _gmacs(cfg, size)),
        latency_ms=_try(lambda: _latency(model, size)),
    )


def _gmacs(cfg: Config, size: tuple[int, int]) -> float:
    counted = build_for_counting(cfg)
    set_form(counted, 'deploy')
    return count_macs(counted, _padded(counted, size))['total'] / 1e9


def _padded(model: nn.Module, size: tuple[int, int]) -> tuple[int, int]:
    """The size that reaches the encoder."""
    divisor = getattr(model.data_preprocessor, 'size_divisor', 1) or 1
    return tuple(-(-side // divisor) * divisor for side in size)


def _latency(model: nn.Module, size: tuple[int, int]) -> float:
    model.eval()
    if hasattr(getattr(model, 'decode_head', None), 'switch_to_deploy'):
        model.switch_to_deploy()
    speeds = [images_per_second(model, random_batches(size, _IMAGES), warmup=_WARMUP) for _ in range(_REPEATS)]
    return 1000 / statistics.median(speeds)


def _try(measure: Callable[[], float]) -> float | None:
    """A cost that cannot be measured (a model of other parts than ours, say) does not make a trained run fail."""
    try:
        return measure()
    except (AttributeError, KeyError, NotImplementedError, TypeError, ValueError, RuntimeError) as error:
        print(f'A cost could not be measured: {type(error).__name__}: {error}')
        return None
