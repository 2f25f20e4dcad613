"""RMSNorm or layer norm, by column blocks: squares and sums as soon as a block is there, the rest when all are."""

from __future__ import annotations

from workloads.lowering.emit.context import Context
from workloads.lowering.emit.places import F_EPSILON, F_MEAN
from workloads.lowering.emit.weights import Rows
from workloads.lowering.plan.dims import ceil_div

_MEAN, _EPSILON = 1, 2


def add_squares(c: Context, source: Rows, block: int, scratch: int) -> None:
    """Add one column block to the row statistics: its squares, and for a layer norm its sums.

    `scratch` takes as many vectors as rows.
    """
    b, vlen = c.b, c.dims.view.vlen
    width = c.dims.hidden.width
    b.v_rows(source.count)
    b.v_seg(vlen)
    place = source.base + block * source.pitch
    b.emit("V_MUL_VV", c.v(scratch), c.v(place), c.v(place))
    if width < vlen:
        b.v_lanes(width)
    b.emit("V_RED_SUM_SEG", c.v(c.vectors.statistics), c.v(scratch), int(block > 0))
    if c.dims.model.norm == "layer":
        b.emit("V_RED_SUM_SEG", c.v(c.vectors.means), c.v(place), int(block > 0))
    if width < vlen:
        b.v_lanes(0)


def finish(c: Context, source: Rows, target: int) -> None:
    """Turn the sums into 1 / root-mean-square and scale every row; gains are folded into the next weights.

    A layer norm takes the mean of every row off first, and the square of it off the mean square.
    """
    b, vlen = c.b, c.dims.view.vlen
    statistics = c.vectors.statistics
    b.emit("S_LD_FP", _MEAN, 0, F_MEAN)
    b.emit("S_LD_FP", _EPSILON, 0, F_EPSILON)
    b.v_rows(ceil_div(source.rows, vlen))
    b.emit("V_MUL_VF", c.v(statistics), c.v(statistics), _MEAN)
    centred = c.dims.model.norm == "layer"
    if centred:
        _centre(c, ceil_div(source.rows, vlen))
    b.emit("V_ADD_VF", c.v(statistics), c.v(statistics), _EPSILON)
    b.emit("V_RSQRT_V", c.v(statistics), c.v(statistics))
    b.v_rows(source.count)
    b.v_seg(vlen)
    for block in range(c.dims.hidden.blocks):
        place = source.base + block * source.pitch
        normed = target + block * source.pitch
        if centred:
            b.emit("V_SUB_SEG", c.v(normed), c.v(place), c.v(c.vectors.means))
            place = normed
        b.emit("V_MUL_SEG", c.v(normed), c.v(place), c.v(statistics))


def _centre(c: Context, vectors: int) -> None:
    """Turn sums into means, and mean squares into variances."""
    b, means, statistics = c.b, c.vectors.means, c.vectors.statistics
    squares = means + vectors
    b.emit("V_MUL_VF", c.v(means), c.v(means), _MEAN)
    b.emit("V_MUL_VV", c.v(squares), c.v(means), c.v(means))
    b.emit("V_SUB_VV", c.v(statistics), c.v(statistics), c.v(squares))


def norm(c: Context, source: Rows, target: int) -> None:
    """A whole norm, from `source` to `target`, whose blocks also take the squares."""
    for block in range(c.dims.hidden.blocks):
        add_squares(c, source, block, target + block * source.pitch)
    finish(c, source, target)
