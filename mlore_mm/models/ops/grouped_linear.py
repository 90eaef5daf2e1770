"""Products of many groups of rows with a matrix each, where nobody but the device knows how large the groups are.

Rows are sorted by group, and ``ends`` (E,) int32 says after which row each group ends. Three forms with equal results:

- 'grouped': ``torch.nn.functional.grouped_mm``, in half precision and for widths that its kernel takes; for others
  PyTorch copies the sizes to the host or refuses to compile it.
- 'loop': one product per group. It asks for the sizes, which costs nothing on a CPU: taken there.
- 'blocked': groups are filled up to whole blocks of rows, and every block is multiplied with the matrix of its group.
  No shape depends on the data, and the host waits for nothing.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 128  # rows; a group wastes half a block on average, and a block reads a matrix


def grouped_linear(rows: Tensor, weight: Tensor, ends: Tensor) -> Tensor:
    """Rows (R, in) sorted by group, with matrices (E, out, in), to (R, out)."""
    return _GroupedLinear.apply(rows, weight, ends)


def grouped_product(rows: Tensor, matrices: Tensor, ends: Tensor, form: str | None = None) -> Tensor:
    """Rows (R, a) with matrices (E, a, b) to (R, b); not differentiable, see :func:`grouped_linear`."""
    form = form or best_form(rows, matrices.shape[-1])
    if form == 'grouped':
        return F.grouped_mm(rows.contiguous(), matrices, offs=ends)
    if form == 'blocked':
        return _blocked_product(rows, matrices, ends)
    if form == 'counted':
        return rows @ matrices[0]  # as many multiplications, whoever they belong to
    out = rows.new_empty(len(rows), matrices.shape[-1])
    for group, (start, stop) in enumerate(spans(ends)):
        torch.mm(rows[start:stop], matrices[group], out=out[start:stop])
    return out


def grouped_outer(a: Tensor, b: Tensor, ends: Tensor, form: str | None = None) -> Tensor:
    """Per group the sum over its rows of the outer products: (R, a) and (R, b) to (E, a, b)."""
    form = form or best_form(a, b.shape[-1])
    if form == 'grouped':
        return F.grouped_mm(a.contiguous().t(), b.contiguous(), offs=ends)
    if form == 'blocked':
        return _blocked_outer(a, b, ends)
    if form == 'counted':
        return (a.t() @ b).expand(len(ends), -1, -1)
    out = a.new_empty(len(ends), a.shape[-1], b.shape[-1])
    for group, (start, stop) in enumerate(spans(ends)):
        torch.mm(a[start:stop].t(), b[start:stop], out=out[group])
    return out


def grouped_sum(rows: Tensor, ends: Tensor) -> Tensor:
    """Sum of the rows of each group, (R, a) to (E, a)."""
    groups = torch.arange(len(ends), device=rows.device)
    member = group_of_rows(ends, len(rows)) == groups[:, None]
    return member.to(rows.dtype) @ rows


def group_of_rows(ends: Tensor, rows: int) -> Tensor:
    """The group of each row, (rows,)."""
    return torch.searchsorted(ends, torch.arange(rows, device=ends.device, dtype=ends.dtype), right=True)


def best_form(rows: Tensor, width: int) -> str:
    """'grouped', 'loop', 'blocked', see above; 'counted' on the meta device, where a group's size is not known."""
    if rows.is_meta:
        return 'counted'
    if rows.device.type == 'cpu' and not torch.compiler.is_compiling():
        return 'loop'
    wide = all(size * rows.element_size() % 16 == 0 for size in (rows.shape[-1], width))
    if rows.dtype is not torch.bfloat16 or not wide:
        return 'blocked'
    recent = rows.device.type == 'cpu' or torch.cuda.get_device_capability(rows.device)[0] >= 8
    return 'grouped' if recent and rows.device.type in ('cpu', 'cuda') else 'blocked'


class _GroupedLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows: Tensor, weight: Tensor, ends: Tensor) -> Tensor:
        ctx.save_for_backward(rows, weight, ends)
        return grouped_product(rows, weight.transpose(1, 2), ends)

    @staticmethod
    def backward(ctx, grad: Tensor):
        rows, weight, ends = ctx.saved_tensors
        to_rows = grouped_product(grad, weight, ends) if ctx.needs_input_grad[0] else None
        to_weight = grouped_outer(grad, rows, ends) if ctx.needs_input_grad[1] else None
        return to_rows, to_weight, None


def spans(ends: Tensor) -> list[tuple[int, int]]:
    """First row of each group and the row after its last; asks the device."""
    stops = ends.tolist()
    return list(zip([0, *stops[:-1]], stops, strict=True))


def _blocks(ends: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Where each row lies among the filled up rows, (R,), and the group of each block, (blocks,)."""
    sizes = torch.diff(ends, prepend=ends.new_zeros(1))
    blocks = (sizes + BLOCK - 1) // BLOCK
    last = blocks.cumsum(0)
    group = group_of_rows(ends, rows)
    first_row, first_block = (ends - sizes)[group], (last - blocks)[group]
    place = first_block * BLOCK + torch.arange(rows, device=ends.device) - first_row
    count = -(-rows // BLOCK) + len(ends)  # never more, whatever the sizes
    owner = torch.searchsorted(last, torch.arange(count, device=ends.device), right=True)
    return place, owner.clamp(max=len(ends) - 1)


def _fill(rows: Tensor, place: Tensor, blocks: int) -> Tensor:
    """(R, a) to (blocks, BLOCK, a), zeros between the groups."""
    filled = rows.new_zeros(blocks * BLOCK, rows.shape[-1]).index_copy(0, place, rows)
    return filled.view(blocks, BLOCK, -1)


def _blocked_product(rows: Tensor, matrices: Tensor, ends: Tensor) -> Tensor:
    place, owner = _blocks(ends, len(rows))
    out = _fill(rows, place, len(owner)) @ matrices[owner]
    return out.flatten(0, 1)[place]


def _blocked_outer(a: Tensor, b: Tensor, ends: Tensor) -> Tensor:
    place, owner = _blocks(ends, len(a))
    products = _fill(a, place, len(owner)).transpose(1, 2) @ _fill(b, place, len(owner))
    return products.new_zeros(len(ends), *products.shape[1:]).index_add(0, owner, products)
