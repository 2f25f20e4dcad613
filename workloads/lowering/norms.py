"""RMSNorm, by column blocks: squares and sums as soon as a block is there, the rest when all are."""

from __future__ import annotations

from workloads.lowering.context import F_EPSILON, F_MEAN, Context
from workloads.lowering.dims import ceil_div
from workloads.lowering.weights import Rows

_MEAN, _EPSILON = 1, 2


def add_squares(c: Context, source: Rows, block: int, scratch: int) -> None:
    """Add one column block's squares to the row statistics; `scratch` takes as many vectors as rows."""
    b, vlen = c.b, c.dims.view.vlen
    width = c.dims.hidden.width
    b.v_rows(source.count)
    b.v_seg(vlen)
    place = source.base + block * source.pitch
    b.emit("V_MUL_VV", c.v(scratch), c.v(place), c.v(place))
    if width < vlen:
        b.v_lanes(width)
    b.emit("V_RED_SUM_SEG", c.v(c.vectors.statistics), c.v(scratch), int(block > 0))
    if width < vlen:
        b.v_lanes(0)


def finish(c: Context, source: Rows, target: int) -> None:
    """Turn the sums into 1 / root-mean-square and scale every row; gamma is folded into the next weights."""
    b, vlen = c.b, c.dims.view.vlen
    statistics = c.vectors.statistics
    b.emit("S_LD_FP", _MEAN, 0, F_MEAN)
    b.emit("S_LD_FP", _EPSILON, 0, F_EPSILON)
    b.v_rows(ceil_div(source.rows, vlen))
    b.emit("V_MUL_VF", c.v(statistics), c.v(statistics), _MEAN)
    b.emit("V_ADD_VF", c.v(statistics), c.v(statistics), _EPSILON)
    b.emit("V_RSQRT_V", c.v(statistics), c.v(statistics))
    b.v_rows(source.count)
    b.v_seg(vlen)
    for block in range(c.dims.hidden.blocks):
        place = source.base + block * source.pitch
        b.emit("V_MUL_SEG", c.v(target + block * source.pitch), c.v(place), c.v(statistics))


def norm(c: Context, source: Rows, target: int) -> None:
    """A whole norm, from `source` to `target`, whose blocks also take the squares."""
    for block in range(c.dims.hidden.blocks):
        add_squares(c, source, block, target + block * source.pitch)
    finish(c, source, target)
