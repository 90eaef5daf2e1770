"""Small trained additions to the layers of a frozen encoder."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mlore_mm.registry import MODELS

_MARK = re.compile(r'\.lora_(A|B|embedding_A|embedding_B)\.')


@MODELS.register_module()
class LoRA:
    """Low-rank adaptation: W x becomes W x + alpha / r * B A x with W frozen, A (r, in) and B (out, r) trained.

    B starts at zero, so training starts at the encoder as it is. At inference :func:`fold_adapters` adds the product to
    W; nothing is left of it but other numbers.
    Source: Hu et al., ICLR 2022; the layers are those of `peft <https://github.com/huggingface/peft>`_.

    Args:
        r: Rank.
        alpha: Scale; r by default, so that the factor is 1.
        targets: Ends of the names of linear and 2-D convolution layers, such as ``('attn.qkv', 'attn.proj')``. By
            default every linear layer of the encoder.
        dropout: Of x before A, in training.

    Raises:
        ImportError: peft is not installed.
        ValueError: A target that no layer's name ends in, saying which ends there are.
    """

    def __init__(
        self, r: int = 16, alpha: float | None = None, targets: Sequence[str] | None = None, dropout: float = 0.0
    ) -> None:
        if r < 1:
            raise ValueError(f'adapter.r is a rank of 1 or more, but got {r}.')
        self.r, self.alpha, self.dropout = r, r if alpha is None else alpha, dropout
        self.targets = [targets] if isinstance(targets, str) else targets

    def attach(self, encoder: nn.Module) -> None:
        """Put the additions into the encoder, in place; everything else of it loses its gradient."""
        names = self._layers(encoder)
        peft = _peft()
        config = peft.LoraConfig(r=self.r, lora_alpha=self.alpha, lora_dropout=self.dropout, target_modules=names)
        peft.inject_adapter_in_model(config, encoder)
        for name, parameter in encoder.named_parameters():
            parameter.requires_grad_(is_adapter_weight(name))
        trained = sum(p.numel() for p in encoder.parameters() if p.requires_grad)
        print_log(
            f'LoRA of rank {self.r} trains {trained:,} parameters of the encoder, in {_summary(names)}. '
            'Its own weights are frozen.',
            'current',
        )

    def _layers(self, encoder: nn.Module) -> list[str]:
        """Full names of the layers that are adapted."""
        inside = {
            f'{name}.{child}'
            for name, module in encoder.named_modules()
            if isinstance(module, nn.MultiheadAttention)  # it takes its projection's weights and does not call it
            for child, _ in module.named_modules()
        }
        usable = [
            name
            for name, module in encoder.named_modules()
            if isinstance(module, (nn.Linear, nn.Conv2d)) and getattr(module, 'groups', 1) == 1 and name not in inside
        ]
        linear = [name for name in usable if isinstance(encoder.get_submodule(name), nn.Linear)]
        if self.targets is None:
            if not linear:
                raise ValueError(
                    f'{type(encoder).__name__} has no linear layer that an adapter can be put into. Name convolutions '
                    f'in adapter.targets; there are {_summary(usable)}.'
                )
            return linear
        for target in self.targets:
            if not any(_ends(name, target) for name in usable):
                raise ValueError(
                    f'adapter.targets: no layer of {type(encoder).__name__} has a name that ends in {target!r}. '
                    f'There are {_summary(usable) or "no linear layers or convolutions"}.'
                )
        return [name for name in usable if any(_ends(name, target) for target in self.targets)]


def adapt(encoder: nn.Module, config: dict | None, frozen: bool, frozen_stages: int | None) -> LoRA | None:
    """Build an adapter and attach it; None where there is no config.

    Raises:
        ValueError: The encoder is not frozen as a whole.
    """
    if config is None:
        return None
    if not frozen or frozen_stages is not None:
        raise ValueError(
            'model.adapter is trained in place of the whole encoder: set model.frozen_backbone=True, and leave '
            'frozen_stages out.'
        )
    adapter = MODELS.build(config)
    adapter.attach(encoder)
    return adapter


def is_adapter_weight(name: str) -> bool:
    """Whether a weight of this name belongs to an adapter and not to the encoder."""
    return _MARK.search(f'.{name}.') is not None


def set_adapters_training(encoder: nn.Module, mode: bool) -> None:
    """Dropout of the adapters follows the training; the encoder around them stays in evaluation mode."""
    for _, layer in _adapted(encoder):
        layer.lora_dropout.train(mode)


@contextmanager
def without_adapters(encoder: nn.Module) -> Iterator[None]:
    """The encoder under the names that it has by itself, for loading its own weights."""
    layers = list(_adapted(encoder))
    try:
        for name, layer in layers:
            _replace(encoder, name, layer.base_layer)
        yield
    finally:
        for name, layer in layers:
            _replace(encoder, name, layer)


@contextmanager
def all_called(encoder: nn.Module) -> Iterator[None]:
    """Around a call of the encoder: every adapted layer has to take part in it.

    Raises:
        ValueError: Layers whose weights the encoder takes without calling them (the fused projections of some
            attentions), so that an adapter does nothing there.
    """
    left = {name for name, _ in _adapted(encoder)}
    hooks = [layer.register_forward_hook(lambda *_, name=name: left.discard(name)) for name, layer in _adapted(encoder)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    if left:
        names = [name for name, _ in _adapted(encoder)]
        used = _summary([name for name in names if name not in left]) or 'none'
        raise ValueError(
            f'{type(encoder).__name__} does not call {_summary(sorted(left))}, so an adapter does nothing there. Name '
            f'other layers in adapter.targets; of the adapted ones these are called: {used}.'
        )


@torch.no_grad()
def fold_adapters(encoder: nn.Module) -> int:
    """Add every adapter to the weights of its layer and take it out, in place; their number."""
    layers = list(_adapted(encoder))
    for name, layer in layers:
        layer.merge()
        _replace(encoder, name, layer.base_layer)
    return len(layers)


def own_weights(encoder: nn.Module) -> dict[str, Tensor]:
    """The encoder's weights without those of adapters, under the names that checkpoints of the model have."""
    return {name: value for name, value in encoder.state_dict().items() if not is_adapter_weight(name)}


def _adapted(encoder: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, module) for name, module in encoder.named_modules() if hasattr(module, 'lora_A')]


def _replace(encoder: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, child = name.rpartition('.')
    setattr(encoder.get_submodule(parent), child, module)


def _ends(name: str, target: str) -> bool:
    return name == target or name.endswith(f'.{target}')


def _summary(names: Sequence[str]) -> str:
    """Names with N in place of numbers, and how many of each there are."""
    counts = Counter(re.sub(r'(?<=\.)\d+(?=\.|$)', 'N', name) for name in names)
    return ', '.join(f'{name} ({count})' for name, count in counts.items())


def _peft():
    try:
        import peft
    except ImportError as error:
        raise ImportError(
            "adapter=dict(type='LoRA') needs peft, which is not installed: pip install 'peft>=0.17' (extra `encoders`)."
        ) from error
    return peft
