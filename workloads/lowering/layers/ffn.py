"""The output projection and the MLP, with their residual additions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from workloads.lowering.emit.builder import Count
from workloads.lowering.emit.context import Context
from workloads.lowering.emit.places import F_CUBIC, F_LINEAR, F_ONE
from workloads.lowering.emit.weights import Rows
from workloads.lowering.layers import norms
from workloads.lowering.layers.parallel import Reduction, split_residual
from workloads.lowering.plan.dims import Columns
from workloads.lowering.plan.stages import SHARED

_ONE, _LINEAR, _CUBIC = 1, 2, 3

Keep = Callable[[int, int], None]
"""Called with a column block and the first vector of its product, before that is added; where the inner rows come in
several parts, with the last part's, which stands for all."""


def output_projection(c: Context, keep: Keep | None = None) -> None:
    """x += attention output @ O, block by block, and the squares that the next norm needs."""
    c.phase("out_proj")
    split_residual(c)
    _project(c, "o", c.activations(c.vectors.query), last=True, keep=keep)
    c.phase("norm")
    norms.finish(c, c.activations(c.vectors.x), c.vectors.normed)


def feed_forward(c: Context, keep: Keep | None = None) -> None:
    """x += inner @ down by parts of the inner blocks; inner is silu(normed @ gate) * (normed @ up), or gelu(up)."""
    c.phase("ffn")
    split_residual(c)
    spans = c.dims.ffn_spans
    for part, span in enumerate(spans):
        _span(c, "", part, span, last=part == len(spans) - 1, keep=keep)


def shared_experts(c: Context, inner: Columns) -> None:
    """The same through the experts that take every row; normalised rows are kept, and squares left to add."""
    c.phase("shared_experts")
    _span(c, SHARED, 0, range(inner.blocks), last=False)


def _span(c: Context, prefix: str, part: int, span: range, *, last: bool, keep: Keep | None = None) -> None:
    """x += inner @ down for some of the inner blocks."""
    v = c.vectors
    for block in span:
        _inner(c, prefix, block, v.gate + (block - span[0]) * v.rows)
    source = Rows(base=v.gate, rows=v.rows, pitch=v.rows)
    _project(c, f"{prefix}down{part}", source, last=last, keep=keep)


def _inner(c: Context, prefix: str, block: int, gate: int) -> None:
    """One inner block, from normalised rows to `gate`."""
    v = c.vectors
    normed = c.activations(v.normed)
    if c.dims.model.mlp == "gelu":
        c.stream.gemm(f"{prefix}up{block}", normed, gate)
        _activate(c, gate, gelu=True)
        return
    c.stream.gemm(f"{prefix}gate{block}", normed, gate)
    _activate(c, gate)
    c.stream.gemm(f"{prefix}up{block}", normed, v.up)
    c.b.v_rows(c.all_rows)
    c.b.emit("V_MUL_VV", c.v(gate), c.v(gate), c.v(v.up))


def _activate(c: Context, gate: int, *, gelu: bool = False) -> None:
    """gate *= 1 / (1 + exp(-y)), in parts of as many rows as the scratch rows; y is gate, or GELU's cubic of it."""
    v = c.vectors
    parts = [(start, c.part(start, v.scratch_rows, v.rows)) for start in range(0, v.rows, v.scratch_rows)]
    activate(c, gate, parts, gelu=gelu)


def activate(c: Context, gate: int, parts: Sequence[tuple[int, Count]], *, gelu: bool = False) -> None:
    """The same for `parts`, first row and number of rows of each."""
    b = c.b
    b.emit("S_LD_FP", _ONE, 0, F_ONE)
    if gelu:
        b.emit("S_LD_FP", _LINEAR, 0, F_LINEAR)
        b.emit("S_LD_FP", _CUBIC, 0, F_CUBIC)
    for start, count in parts:
        b.v_rows(count)
        scratch, part = c.v(c.vectors.scratch), c.v(gate + start)
        if gelu:
            b.emit("V_MUL_VV", scratch, part, part)
            b.emit("V_MUL_VF", scratch, scratch, _CUBIC)
            b.emit("V_ADD_VF", scratch, scratch, _LINEAR)
            b.emit("V_MUL_VV", scratch, scratch, part)
        b.emit("V_SUB_VF", scratch, scratch if gelu else part, 0, 0, 1)
        b.emit("V_EXP_V", scratch, scratch)
        b.emit("V_ADD_VF", scratch, scratch, _ONE)
        b.emit("V_RECI_V", scratch, scratch)
        b.emit("V_MUL_VV", part, part, scratch)


def _project(c: Context, name: str, source: Rows, *, last: bool, keep: Keep | None) -> None:
    """x += source @ matrix, block by block.

    The products of the last (or only) matrix land where normalised rows are no longer needed; when a
    block of x is complete, with the other cores' parts, its squares are summed.
    """
    v = c.vectors
    reduction = Reduction(c) if last and c.dims.view.cores > 1 else None
    for block in range(c.dims.hidden.blocks):
        product, x = v.normed + block * v.rows if last else v.up, v.x + block * v.rows
        c.stream.gemm(f"{name}.{block}", source, product)
        if last and keep is not None:
            keep(block, product)
        c.b.v_rows(c.all_rows)
        c.b.emit("V_ADD_VV", c.v(x), c.v(x), c.v(product))
        if reduction is not None:
            reduction.ready(block)
        elif last:
            norms.add_squares(c, c.activations(v.x), block, product)
    if reduction is not None:
        reduction.finish()
