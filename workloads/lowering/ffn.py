"""The output projection and the gated MLP, with their residual additions."""

from __future__ import annotations

from workloads.lowering import norms
from workloads.lowering.context import F_ONE, Context
from workloads.lowering.parallel import all_reduce
from workloads.lowering.weights import Rows

_ONE = 1


def output_projection(c: Context) -> None:
    """x += attention output @ O, block by block, and the squares that the next norm needs."""
    c.phase("out_proj")
    _project(c, "o", c.vectors.activations(c.vectors.query))
    c.phase("norm")
    norms.finish(c, c.vectors.activations(c.vectors.x), c.vectors.normed)


def feed_forward(c: Context) -> None:
    """x += (silu(normed @ gate) * (normed @ up)) @ down."""
    v = c.vectors
    c.phase("ffn")
    normed = v.activations(v.normed)
    for block in range(c.dims.ffn.blocks):
        gate = v.gate + block * v.rows
        c.stream.gemm(f"gate{block}", normed, gate)
        _sigmoid_gate(c, gate)
        c.stream.gemm(f"up{block}", normed, v.up)
        c.b.v_rows(v.rows)
        c.b.emit("V_MUL_VV", c.v(gate), c.v(gate), c.v(v.up))
    _project(c, "down", v.activations(v.gate))


def _sigmoid_gate(c: Context, gate: int) -> None:
    """gate *= 1 / (1 + exp(-gate)), in parts of as many rows as the scratch rows."""
    b, v = c.b, c.vectors
    b.emit("S_LD_FP", _ONE, 0, F_ONE)
    for start in range(0, v.rows, v.scratch_rows):
        b.v_rows(min(v.scratch_rows, v.rows - start))
        scratch, part = c.v(v.scratch), c.v(gate + start)
        b.emit("V_SUB_VF", scratch, part, 0, 0, 1)
        b.emit("V_EXP_V", scratch, scratch)
        b.emit("V_ADD_VF", scratch, scratch, _ONE)
        b.emit("V_RECI_V", scratch, scratch)
        b.emit("V_MUL_VV", part, part, scratch)


def _project(c: Context, name: str, source: Rows) -> None:
    """x += source @ matrix; the products land where normalised rows are no longer needed."""
    v = c.vectors
    blocks = range(c.dims.hidden.blocks)
    for block in blocks:
        c.stream.gemm(f"{name}{block}", source, v.normed + block * v.rows)
        if c.dims.view.cores == 1:
            _add_block(c, block)
    if c.dims.view.cores > 1:
        all_reduce(c)
        for block in blocks:
            _add_block(c, block)


def _add_block(c: Context, block: int) -> None:
    v = c.vectors
    product, x = v.normed + block * v.rows, v.x + block * v.rows
    c.b.v_rows(v.rows)
    c.b.emit("V_ADD_VV", c.v(x), c.v(x), c.v(product))
    norms.add_squares(c, v.activations(v.x), block, product)
