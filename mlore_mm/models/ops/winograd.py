"""3x3 convolutions that share their input, on a CPU with 4 multiplications where the plain form has 9.

Winograd's minimal filtering F(2x2, 3x3): the map is cut into tiles of 4x4 pixels that overlap by two, tiles and kernels
are transformed by additions and halvings to 16 numbers each, multiplied number by number, summed over the channels (16
matrix products) and transformed back to 2x2 pixels of the result. Exact in exact arithmetic, and in fp32 about as near
to it as the plain form. PyTorch's CPU convolution does not do it; cuDNN does on its own.

Source: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016, Sec. 4.1 (input transform B,
kernel transform G, output transform A).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mlore_mm.models.ops.full_precision import without_autocast
from mlore_mm.utils.half_precision import has_bf16

# Pairs of input and output channels of a map, and its pixels, below which the transforms cost more than they spare, and
# output channels at a time. Measured with one thread of an AMD EPYC: 192 x 192 loses, 192 x 548 and 256 x 256 gain.
FEWEST_PAIRS, FEWEST_PIXELS = 60_000, 256
CHANNELS_AT_ONCE = 216

# Rows of B^T: each a sum or difference of two of the four taps, (first tap, second tap, sign of the second).
_INPUT = ((0, 2, -1), (1, 2, 1), (2, 1, -1), (1, 3, -1))
_KERNEL = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))  # G
_OUTPUT = ((1, 1, 1, 0), (0, 1, -1, -1))  # A^T


@dataclass(frozen=True)
class Conv:
    """One convolution of one map.

    Args:
        sample: Index of the map.
        weight: Index of the kernel (O, C, 3, 3).
        rows: Indices (K) of the output channels to compute, None for all. The others cost nothing.
        detached: The map gets no gradient from this convolution.
    """

    sample: int
    weight: int
    rows: Tensor | None = None
    detached: bool = False


def convs3x3(x: Tensor, weights: Sequence[Tensor], convs: Sequence[Conv]) -> tuple[Tensor, ...]:
    """Convolutions of the maps x (S, C, H, W), zero padded and without bias, in the form that is faster.

    Autocast to bf16 takes the plain form; a CPU that can only imitate bf16 computes in fp32 (measured without AVX512:
    plain bf16 9 to 13 times as long as either form in fp32).

    Returns:
        Per convolution a map (O, H, W) or (K, H, W).
    """
    if _is_imitated(x):
        dtype = x.dtype if x.dtype == torch.bfloat16 else torch.get_autocast_dtype('cpu')
        with without_autocast(x):
            maps = convs3x3(x.float(), [weight.float() for weight in weights], convs)
        return tuple(y.to(dtype) for y in maps)
    if not winograd_pays(x, weights, convs):
        return plain_convs3x3(x, weights, convs)
    if torch.compiler.is_compiling():
        return tuple(_winograd_step(x, list(weights), [c.sample for c in convs], [c.weight for c in convs]))
    return winograd_convs3x3(x, weights, convs)


def plain_convs3x3(x: Tensor, weights: Sequence[Tensor], convs: Sequence[Conv]) -> tuple[Tensor, ...]:
    """:func:`convs3x3` one after the other: the definition."""
    return tuple(_plain(x[conv.sample], weights[conv.weight], conv) for conv in convs)


def _plain(image: Tensor, weight: Tensor, conv: Conv) -> Tensor:
    if conv.rows is not None and not len(conv.rows):
        return image.new_zeros(0, *image.shape[1:])  # conv2d refuses it
    # Channels last is the faster layout of one image's convolution, the copies included.
    image = (image.detach() if conv.detached else image)[None].contiguous(memory_format=torch.channels_last)
    return F.conv2d(image, weight if conv.rows is None else weight[conv.rows], padding=1)[0]


def winograd_convs3x3(x: Tensor, weights: Sequence[Tensor], convs: Sequence[Conv]) -> tuple[Tensor, ...]:
    """:func:`convs3x3` by Winograd's form, for any size; of what it computes, nothing is kept for the backward pass."""
    return _WinogradConvs.apply(x, convs, *weights)


@torch.library.custom_op('mlore_mm::winograd_convs3x3', mutates_args=(), device_types='cpu')
def _winograd_step(x: Tensor, weights: list[Tensor], samples: list[int], kernels: list[int]) -> list[Tensor]:
    """A step of a compiled graph: convolution i of the map ``samples[i]`` with ``weights[kernels[i]]``."""
    convs = [Conv(sample, kernel) for sample, kernel in zip(samples, kernels, strict=True)]
    return [y.contiguous() for y in winograd_convs3x3(x, weights, convs)]


@_winograd_step.register_fake
def _(x: Tensor, weights: list[Tensor], samples: list[int], kernels: list[int]) -> list[Tensor]:
    return [x.new_empty(weights[kernel].shape[0], *x.shape[2:]) for kernel in kernels]


def _is_imitated(x: Tensor) -> bool:
    """Whether a CPU would compute in bf16 without instructions for it."""
    if x.device.type != 'cpu' or x.dtype == torch.float64 or torch.compiler.is_compiling():
        return False
    autocast = torch.is_autocast_enabled('cpu') and torch.get_autocast_dtype('cpu') == torch.bfloat16
    return (autocast or x.dtype == torch.bfloat16) and not has_bf16()


def winograd_pays(x: Tensor, weights: Sequence[Tensor], convs: Sequence[Conv]) -> bool:
    """On a CPU in full precision, from a certain size on."""
    if x.device.type != 'cpu' or x.dtype not in (torch.float32, torch.float64) or torch.is_autocast_enabled('cpu'):
        return False
    if torch.jit.is_tracing() or (torch.compiler.is_compiling() and not _fits_a_graph(convs)):
        return False
    pairs = x.shape[1] * sum(_count(conv, weights) for conv in convs) / len(x)
    return pairs >= FEWEST_PAIRS and x.shape[2] * x.shape[3] >= FEWEST_PIXELS


def _fits_a_graph(convs: Sequence[Conv]) -> bool:
    """Whether a compiled graph can hold it: without gradients, and with shapes that do not depend on values."""
    if torch.is_grad_enabled() or torch.compiler.is_exporting():
        return False
    return all(conv.rows is None for conv in convs)


class _WinogradConvs(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, convs: Sequence[Conv], *weights: Tensor):
        ctx.save_for_backward(x, *weights)
        ctx.convs = convs
        out = [x.new_empty(_count(conv, weights), *x.shape[2:]) for conv in convs]
        for sample, jobs in _by_sample(convs):
            tiles = _transform_input(x[sample])
            for job in jobs:
                weight, rows = weights[convs[job].weight], convs[job].rows
                for part in _parts(len(out[job])):
                    products = torch.bmm(_transform_kernel(_take(weight, rows, part)), tiles)
                    _transform_output(products, out[job][part])
        return tuple(out)

    @staticmethod
    def backward(ctx, *gradients: Tensor):
        x, *weights = ctx.saved_tensors
        wants_x, _, *wants = ctx.needs_input_grad
        to_x = torch.zeros_like(x) if wants_x else None
        to_weights = [torch.zeros_like(w) if wanted else None for w, wanted in zip(weights, wants, strict=True)]
        for sample, jobs in _by_sample(ctx.convs):
            tiles = _transform_input(x[sample])
            to_tiles = torch.zeros_like(tiles) if wants_x else None
            for job in jobs:
                conv = ctx.convs[job]
                into = None if conv.detached else to_tiles
                _backward(tiles, gradients[job], weights[conv.weight], conv.rows, to_weights[conv.weight], into)
            if to_tiles is not None:
                to_x[sample] = _transform_input_back(to_tiles, x.shape[1:])
        return to_x, None, *to_weights


def _backward(
    tiles: Tensor,
    gradient: Tensor,
    weight: Tensor,
    rows: Tensor | None,
    to_weight: Tensor | None,
    to_tiles: Tensor | None,
) -> None:
    """Add to the gradients of the kernel and of the transformed map, where they are given."""
    for part in _parts(len(gradient)):
        products = _transform_output_back(gradient[part])
        if to_weight is not None:
            kernel = _transform_kernel_back(torch.bmm(products, tiles.transpose(1, 2))).view(-1, *weight.shape[1:])
            if rows is None:
                to_weight[part] += kernel
            else:  # rows are different ones; index_add_, which allows for repeated ones, is much slower
                to_weight.index_copy_(0, rows[part], kernel + to_weight.index_select(0, rows[part]))
        if to_tiles is not None:
            to_tiles.baddbmm_(_transform_kernel(_take(weight, rows, part)).transpose(1, 2), products)


def _by_sample(convs: Sequence[Conv]) -> list[tuple[int, list[int]]]:
    """Indices of the convolutions of each map."""
    jobs: dict[int, list[int]] = {}
    for job, conv in enumerate(convs):
        jobs.setdefault(conv.sample, []).append(job)
    return list(jobs.items())


def _count(conv: Conv, weights: Sequence[Tensor]) -> int:
    return len(weights[conv.weight] if conv.rows is None else conv.rows)


def _parts(count: int) -> list[slice]:
    """Output channels a few at a time, so that what lies between two transforms stays in the cache."""
    return [slice(start, start + CHANNELS_AT_ONCE) for start in range(0, count, CHANNELS_AT_ONCE)]


def _take(weight: Tensor, rows: Tensor | None, part: slice) -> Tensor:
    return weight[part] if rows is None else weight.index_select(0, rows[part])


def _tiles(size: int) -> int:
    return (size + 1) // 2


def _transform_input(x: Tensor) -> Tensor:
    """(C, H, W) to (16, C, tiles), the tiles row by row; an odd size is completed with zeros."""
    (h, w), (rows, columns) = x.shape[1:], map(_tiles, x.shape[1:])
    padded = F.pad(x, (1, 2 * columns - w + 1, 1, 2 * rows - h + 1))
    along_y = _combine(padded, 1, rows)  # (4, C, rows, W')
    return _combine(along_y, 3, columns).transpose(0, 1).reshape(16, len(x), -1)


def _combine(x: Tensor, dim: int, tiles: int) -> Tensor:
    """One axis of 2*tiles+2 numbers to ``tiles``, and a new first axis of the four sums of ``_INPUT``."""
    taps = [x.narrow(dim, tap, 2 * tiles)[_every_second(dim)] for tap in range(3)]
    taps.append(x.narrow(dim, 3, 2 * tiles - 1)[_every_second(dim)])
    return torch.stack([torch.add(taps[a], taps[b], alpha=sign) for a, b, sign in _INPUT])


def _every_second(dim: int) -> tuple[slice, ...]:
    return (*[slice(None)] * dim, slice(None, None, 2))


def _transform_input_back(tiles: Tensor, shape: Sequence[int]) -> Tensor:
    """Transpose of :func:`_transform_input`."""
    (c, h, w), rows, columns = shape, _tiles(shape[1]), _tiles(shape[2])
    along_x = tiles.view(4, 4, c, rows, columns).transpose(0, 1)
    return _scatter(_scatter(along_x, 3, columns), 1, rows)[:, 1 : h + 1, 1 : w + 1]


def _scatter(parts: Tensor, dim: int, tiles: int) -> Tensor:
    """Transpose of :func:`_combine`."""
    shape = list(parts.shape[1:])
    shape[dim] = 2 * tiles + 2
    out = parts.new_zeros(shape)
    taps = [out.narrow(dim, tap, 2 * tiles - (tap == 3))[_every_second(dim)] for tap in range(4)]
    for part, (a, b, sign) in zip(parts, _INPUT, strict=True):
        taps[a].add_(part)
        taps[b].add_(part, alpha=sign)
    return out


def _transform_kernel(weight: Tensor) -> Tensor:
    """(O, C, 3, 3) to (16, O, C)."""
    flat = weight.reshape(-1, 9)
    return (_square(_KERNEL, weight) @ flat.t()).view(16, *weight.shape[:2])


def _transform_kernel_back(kernel: Tensor) -> Tensor:
    """Transpose of :func:`_transform_kernel`: (16, O, C) to (O*C, 9)."""
    return (_square(_KERNEL, kernel).t() @ kernel.flatten(1)).t()


def _transform_output(products: Tensor, out: Tensor) -> None:
    """(16, O, tiles) to (O, H, W), written to ``out``."""
    rows, columns = map(_tiles, out.shape[1:])
    pixels = (_square(_OUTPUT, products) @ products.flatten(1)).view(2, 2, -1, rows, columns)
    for i in range(2):
        for j in range(2):
            target = out[:, i::2, j::2]
            target.copy_(pixels[i, j, :, : target.shape[1], : target.shape[2]])


def _transform_output_back(gradient: Tensor) -> Tensor:
    """Transpose of :func:`_transform_output`: (O, H, W) to (16, O, tiles)."""
    (h, w), (rows, columns) = gradient.shape[1:], map(_tiles, gradient.shape[1:])
    padded = F.pad(gradient, (0, 2 * columns - w, 0, 2 * rows - h)) if h % 2 or w % 2 else gradient
    pixels = padded.reshape(-1, rows, 2, columns, 2).permute(2, 4, 0, 1, 3).reshape(4, -1)
    return (_square(_OUTPUT, gradient).t() @ pixels).view(16, len(gradient), -1)


def _square(matrix: Sequence[Sequence[float]], like: Tensor) -> Tensor:
    """A transform of both axes: the matrix's Kronecker product with itself."""
    one = torch.tensor(matrix, dtype=like.dtype, device=like.device)
    return torch.kron(one, one)
