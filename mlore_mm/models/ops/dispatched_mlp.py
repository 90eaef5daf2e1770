"""A gated sum of small MLPs, for tokens that are sorted by expert; its backward pass keeps little."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mlore_mm.models.ops.grouped_linear import best_form, grouped_outer, grouped_product, grouped_sum, spans
from mlore_mm.models.ops.token_dispatch import TokenDispatch


def dispatched_mlp(x: Tensor, scores: Tensor, dispatch: TokenDispatch, w1: Tensor, b1: Tensor, w2: Tensor) -> Tensor:
    """For each token the sum over its experts of ``score * W2 gelu(W1 x + b1)``, (R, d) to (R, d).

    Only the hidden layer is kept for the backward pass, before its activation: rows, activation and outputs, each as
    large, are made again. That is less memory than a dense MLP of as many multiplications keeps.

    Args:
        x: (R, d).
        scores: (R, k).
        dispatch: Of these R tokens.
        w1: (E, h, d).
        b1: (E, h).
        w2: (E, d, h).
    """
    return _DispatchedMLP.apply(x, scores, w1, b1, w2, *dispatch)


class _DispatchedMLP(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scores, w1, b1, w2, *dispatch):
        dispatch = TokenDispatch(*dispatch)
        compute = _forward_by_expert if best_form(x, w1.shape[1]) == 'loop' else _forward
        y, hidden = compute(x, dispatch.scores(scores)[:, None], dispatch, w1, b1, w2, any(ctx.needs_input_grad))
        if hidden is not None:
            ctx.save_for_backward(x, scores, w1, w2, hidden, *dispatch)
        return y

    @staticmethod
    def backward(ctx, grad):
        x, scores, w1, w2, hidden, *dispatch = ctx.saved_tensors
        dispatch = TokenDispatch(*dispatch)
        compute = _backward_by_expert if best_form(x, w1.shape[1]) == 'loop' else _backward
        by_row = dispatch.scores(scores)[:, None]
        to_rows, to_scores, to_w1, to_b1, to_w2 = compute(grad, x, by_row, dispatch, w1, w2, hidden)
        to_scores = to_scores.index_select(0, dispatch.places.flatten()).view_as(scores)
        return dispatch.add_up(to_rows), to_scores, to_w1, to_b1, to_w2, None, None, None


# ---- all experts at once: a GPU, or a compiled graph ---------------------------------------------------------------
def _forward(x, by_row, dispatch, w1, b1, w2, keep):
    hidden = grouped_product(dispatch.send(x), w1.transpose(1, 2), dispatch.ends)
    hidden = hidden + b1.index_select(0, dispatch.experts)
    out = grouped_product(F.gelu(hidden) * by_row, w2.transpose(1, 2), dispatch.ends)
    return dispatch.add_up(out), hidden if keep else None


def _backward(grad, x, by_row, dispatch, w1, w2, hidden):
    active, rows, ends = F.gelu(hidden), dispatch.send(grad), dispatch.ends
    to_active = grouped_product(rows, w2, ends)
    to_scores = (to_active * active).sum(dim=-1)
    to_w2 = grouped_outer(rows, active * by_row, ends)
    to_hidden = torch.ops.aten.gelu_backward(to_active * by_row, hidden)
    to_w1 = grouped_outer(to_hidden, dispatch.send(x), ends)
    return grouped_product(to_hidden, w1, ends), to_scores, to_w1, grouped_sum(to_hidden, ends), to_w2


# ---- one expert after the other: a CPU, in whose cache the rows of one expert stay -----------------------------------
def _forward_by_expert(x, by_row, dispatch, w1, b1, w2, keep):
    rows = len(dispatch.tokens)
    hidden = x.new_empty(rows, w1.shape[1]) if keep else None
    out = x.new_empty(rows, w2.shape[1])
    for e, (start, stop) in enumerate(spans(dispatch.ends)):
        part = F.linear(x.index_select(0, dispatch.tokens[start:stop]), w1[e], b1[e])
        if keep:
            hidden[start:stop] = part
        torch.mm(F.gelu(part).mul_(by_row[start:stop]), w2[e].t(), out=out[start:stop])
    return dispatch.add_up(out), hidden


def _backward_by_expert(grad, x, by_row, dispatch, w1, w2, hidden):
    to_rows, to_scores = x.new_empty(len(dispatch.tokens), x.shape[1]), by_row.new_empty(len(dispatch.tokens))
    to_w1, to_b1, to_w2 = torch.empty_like(w1), w1.new_empty(w1.shape[:2]), torch.empty_like(w2)
    for e, (start, stop) in enumerate(spans(dispatch.ends)):
        tokens, part, gates = dispatch.tokens[start:stop], hidden[start:stop], by_row[start:stop]
        active, row = F.gelu(part), grad.index_select(0, tokens)
        to_active = row @ w2[e]
        torch.sum(to_active * active, dim=-1, out=to_scores[start:stop])
        torch.mm(row.t(), active.mul_(gates), out=to_w2[e])
        to_hidden = torch.ops.aten.gelu_backward(to_active.mul_(gates), part)
        torch.mm(to_hidden.t(), x.index_select(0, tokens), out=to_w1[e])
        torch.sum(to_hidden, dim=0, out=to_b1[e])
        torch.mm(to_hidden, w1[e], out=to_rows[start:stop])
    return to_rows, to_scores, to_w1, to_b1, to_w2
