"""The output projection and the gated MLP, with their residual additions."""

from __future__ import annotations

from workloads.lowering import norms
from workloads.lowering.context import F_ONE, Context
from workloads.lowering.parallel import Reduction, split_residual
from workloads.lowering.weights import Rows

_ONE = 1


def output_projection(c: Context) -> None:
    """x += attention output @ O, block by block, and the squares that the next norm needs."""
    c.phase("out_proj")
    split_residual(c)
    _project(c, "o", c.activations(c.vectors.query), last=True)
    c.phase("norm")
    norms.finish(c, c.activations(c.vectors.x), c.vectors.normed)


def feed_forward(c: Context) -> None:
    """x += (silu(normed @ gate) * (normed @ up)) @ down, by parts of the inner blocks."""
    v = c.vectors
    c.phase("ffn")
    split_residual(c)
    spans = c.dims.ffn_spans
    for part, span in enumerate(spans):
        for block in span:
            _gated(c, block, v.gate + (block - span[0]) * v.rows)
        source = Rows(base=v.gate, rows=v.rows, pitch=v.rows)
        _project(c, f"down{part}", source, last=part == len(spans) - 1)


def _gated(c: Context, block: int, gate: int) -> None:
    """One inner block, from normalised rows to `gate`."""
    v = c.vectors
    normed = c.activations(v.normed)
    c.stream.gemm(f"gate{block}", normed, gate)
    _silu(c, gate)
    c.stream.gemm(f"up{block}", normed, v.up)
    c.b.v_rows(c.all_rows)
    c.b.emit("V_MUL_VV", c.v(gate), c.v(gate), c.v(v.up))


def _silu(c: Context, gate: int) -> None:
    """gate *= 1 / (1 + exp(-gate)), in parts of as many rows as the scratch rows."""
    b, v = c.b, c.vectors
    b.emit("S_LD_FP", _ONE, 0, F_ONE)
    for start in range(0, v.rows, v.scratch_rows):
        b.v_rows(c.part(start, v.scratch_rows, v.rows))
        scratch, part = c.v(v.scratch), c.v(gate + start)
        b.emit("V_SUB_VF", scratch, part, 0, 0, 1)
        b.emit("V_EXP_V", scratch, scratch)
        b.emit("V_ADD_VF", scratch, scratch, _ONE)
        b.emit("V_RECI_V", scratch, scratch)
        b.emit("V_MUL_VV", part, part, scratch)


def _project(c: Context, name: str, source: Rows, *, last: bool) -> None:
    """x += source @ matrix, block by block.

    The products of the last (or only) matrix land where normalised rows are no longer needed; when a
    block of x is complete, with the other cores' parts, its squares are summed.
    """
    v = c.vectors
    reduction = Reduction(c) if last and c.dims.view.cores > 1 else None
    for block in range(c.dims.hidden.blocks):
        product, x = v.normed + block * v.rows if last else v.up, v.x + block * v.rows
        c.stream.gemm(f"{name}.{block}", source, product)
        c.b.v_rows(c.all_rows)
        c.b.emit("V_ADD_VV", c.v(x), c.v(x), c.v(product))
        if reduction is not None:
            reduction.ready(block)
        elif last:
            norms.add_squares(c, c.activations(v.x), block, product)
    if reduction is not None:
        reduction.finish()
