"""Which parameters the optimizer gets."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.logging import MMLogger, print_log
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from torch import nn

from mlore_mm.models.encoder_depth import block_depths
from mlore_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS
from mlore_mm.utils.accepted_keys import closest
from mlore_mm.utils.unwrap import bare_model


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class TrainableOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor, without the parameters that need no gradient.

    A frozen encoder then costs no optimizer state in memory and checkpoints. ``paramwise_cfg`` works as in mmengine,
    with one more option, for every encoder:

    - ``layer_decay``: d of layer-wise learning rates; the k-th of the encoder's L blocks has ``lr * d ** (L + 1 - k)``,
      its patch embedding or stem k = 0, what follows the blocks and the decoder the full rate (BEiT, Bao et al., ICLR
      2022). See :func:`mlore_mm.models.encoder_depth.block_depths` for what counts as a block.

    The log gets one line about frozen parameters instead of one for each.

    Raises:
        ValueError: Nothing in the model can be trained; a key of ``custom_keys`` that is in no parameter's name; or
            ``layer_decay`` is not above 0 and at most 1.
    """

    def __call__(self, model: nn.Module) -> OptimWrapper:
        if not any(parameter.requires_grad for parameter in bare_model(model).parameters()):
            raise ValueError('Every parameter of the model is frozen, so there is nothing to train.')
        self._check_custom_keys(bare_model(model))
        with _summed_up():
            wrapper = super().__call__(model)
        groups = wrapper.optimizer.param_groups
        for group in groups:
            group['params'] = [parameter for parameter in group['params'] if parameter.requires_grad]
        groups[:] = [group for group in groups if group['params']]
        self._decay_by_layer(bare_model(model), groups)
        print_log(describe_parameters(bare_model(model)), logger='current')
        return wrapper

    def _check_custom_keys(self, model: nn.Module) -> None:
        names = [name for name, _ in model.named_parameters()]
        for key in self.paramwise_cfg.get('custom_keys') or {}:
            if not any(key in name for name in names):
                meant = closest(key, {part for name in names for part in name.split('.')})
                raise ValueError(
                    f'optim_wrapper.paramwise_cfg.custom_keys.{key}: no parameter has {key!r} in its name. '
                    + (f'Did you mean {meant!r}?' if meant else f'They are called {names[0]}, ..., {names[-1]}.')
                )

    def _decay_by_layer(self, model: nn.Module, groups: list[dict]) -> None:
        decay = (self.paramwise_cfg or {}).get('layer_decay')
        if decay is None:
            return
        if not 0 < decay <= 1:
            raise ValueError(f'paramwise_cfg.layer_decay is above 0 and at most 1, but got {decay}.')
        depths = block_depths(model.backbone)
        power = {id(p): max(depths.count + 1 - depths.of[n], 0) for n, p in model.backbone.named_parameters()}
        for group in groups:  # of one parameter each, since paramwise_cfg is not empty
            group['lr'] *= decay ** power.get(id(group['params'][0]), 0)


class _Counter(logging.Filter):
    """Lets mmengine's line about each single parameter not pass, and counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = self.special = 0

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        self.frozen += 'is skipped since its requires_grad=' in text
        self.special += text.startswith('paramwise_options --')
        return 'is skipped since its requires_grad=' not in text and not text.startswith('paramwise_options --')


@contextmanager
def _summed_up() -> Iterator[None]:
    logger, counter = MMLogger.get_current_instance(), _Counter()
    logger.addFilter(counter)
    try:
        yield
    finally:
        logger.removeFilter(counter)
    if counter.frozen:
        print_log(f'{counter.frozen} parameters are frozen and stay outside the optimizer.', 'current')
    if counter.special:
        print_log(f'paramwise_cfg gave {counter.special} settings of single parameters.', 'current')


def describe_parameters(model: nn.Module) -> str:
    """Numbers of trainable and of frozen parameters, in words."""
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    return f'Parameters: {trainable:,} trainable, {frozen:,} frozen.'
