"""Weights of a dense ViT for a mixture of experts."""

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mlore_mm.models.backbones.vit import resize_pos_embed


def adapt_dense_checkpoint(module: nn.Module, state: dict, prefix: str, *unused) -> None:
    """Before loading: experts out of a dense MLP where the checkpoint has one, positions on this model's grid.

    An expert is a slice of the MLP's hidden units, and the slices are repeated until there are enough. With even gates
    (1 / E each) and k experts at random the mixture then gives the MLP's output on average: second layers are scaled by
    E / k times the number of slices, their biases by E / k. Routers keep their start; ``gate_init='normal'`` makes the
    gates even. Ours: the published code starts from a mixture trained on ImageNet that was never released.
    Positions are resized bilinearly, as published; the class position is kept.
    """
    _resize_positions(module, state, prefix)
    for i, layer in enumerate(module.layers):
        dense = f'{prefix}layers.{i}.ffn.layers.'
        if hasattr(layer, 'mixture') and f'{dense}1.weight' in state:
            tensors = [state.pop(dense + name) for name in ('0.0.weight', '0.0.bias', '1.weight', '1.bias')]
            names = ('fc1.weight', 'fc1.bias', 'fc2.weight', 'fc2.bias')
            experts = upcycle(*tensors, *layer.mixture.fc1.weight.shape[:2], layer.router.gate.top_k)
            target = f'{prefix}layers.{i}.mixture.'
            state.update({target + name: tensor for name, tensor in zip(names, experts, strict=True)})
            start = layer.router.state_dict(prefix=f'{prefix}layers.{i}.router.')
            state.update({key: value for key, value in start.items() if key not in state})
            print_log(f'Cut {len(experts[0])} experts out of the dense MLP of block {i}.', logger='current')
    for key in (f'{prefix}ln1.weight', f'{prefix}ln1.bias'):
        state.pop(key, None)  # a final norm, which the decoders of this method have instead


def upcycle(
    w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, num_experts: int, width: int, top_k: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Stacked tensors of ``num_experts`` experts of ``width`` hidden units, out of ``W2 gelu(W1 x + b1) + b2``.

    Raises:
        ValueError: The MLP is not a whole number of experts wide.
    """
    slices, rest = divmod(len(w1), width)
    if rest:
        raise ValueError(
            f'An MLP of {len(w1)} hidden units cannot be cut into experts of {width}. Choose `expert_ratio` so that it '
            'divides `mlp_ratio`.'
        )
    share = num_experts / top_k
    first, bias, second = w1.unflatten(0, (slices, width)), b1.view(slices, width), w2.unflatten(1, (slices, width))
    index = torch.arange(num_experts, device=w1.device) % slices
    second = second.transpose(0, 1)[index] * (share * slices)
    return first[index], bias[index], second, (b2 * share).expand(num_experts, -1).clone()


def _resize_positions(module: nn.Module, state: dict, prefix: str) -> None:
    key = f'{prefix}pos_embed'
    stored = state.get(key)
    if stored is None or stored.shape == module.pos_embed.shape:
        return
    side = int((stored.shape[1] - 1) ** 0.5)
    if side * side != stored.shape[1] - 1:
        raise ValueError(
            f"'{key}' has {stored.shape[1]} positions and this model's grid is {module.grid}: only a square grid "
            'with a class position can be brought to another one. Set `img_size` of the backbone to the size that the '
            'checkpoint was trained at.'
        )
    patches = resize_pos_embed(stored[:, 1:], (side, side), module.grid, 'bilinear')
    print_log(f"Resizing '{key}' from a {(side, side)} to a {module.grid} grid (bilinear).", logger='current')
    state[key] = torch.cat([stored[:, :1], patches], dim=1)
