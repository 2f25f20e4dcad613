"""Tensor parallelism: every core holds the residual rows; each adds its own partial products to its share.

Before a projection every core divides its rows by the number of cores, so that the sum over cores of
(share + partial product) is the new residual. That sum is a reduce-scatter (each core owns a part of
the rows, the others' parts arrive there and are added) and an all-gather (owners send their part).
"""

from __future__ import annotations

from archsim.errors import WorkloadError
from workloads.lowering import norms
from workloads.lowering.context import F_SHARE, Cell, Context

_SHARE, _IGNORED = 1, 7


def split_residual(c: Context) -> None:
    """x /= cores."""
    if c.dims.view.cores > 1:
        b, v = c.b, c.vectors
        b.emit("S_LD_FP", _SHARE, 0, F_SHARE)
        b.v_rows(c.dims.hidden.blocks * v.rows)
        b.emit("V_MUL_VF", c.v(v.x), c.v(v.x), _SHARE)


def merge_residual(c: Context) -> None:
    """x = sum of all cores' x, and the squares that the next norm needs."""
    if c.dims.view.cores == 1:
        return
    c.phase("allreduce")
    _all_reduce(c)
    v = c.vectors
    for block in range(c.dims.hidden.blocks):
        norms.add_squares(c, v.activations(v.x), block, v.normed + block * v.rows)


def _all_reduce(c: Context) -> None:
    b, cores = c.b, c.dims.view.cores
    vectors = c.dims.hidden.blocks * c.vectors.rows
    if vectors % cores:
        found = f"{vectors} residual vectors"
        raise WorkloadError(f"machine {c.dims.view.name}: {found}; expected a multiple of the {cores} cores")
    _settle(c)
    meet(c, 0)
    b.v_rows(vectors // cores)
    _put_parts(c, vectors // cores, gather=False)
    b.emit("N_WAIT", b.const(cores - 1))
    # Without this, a fast core's gathered part could be counted as a slow core's summand.
    meet(c, 1)
    _put_parts(c, vectors // cores, gather=True)
    b.emit("N_WAIT", b.const(cores - 1))


def meet(c: Context, number: int) -> None:
    """Wait until all cores have come here."""
    c.b.emit("C_BARRIER", c.b.const(number), c.b.const(c.dims.view.cores))


def _settle(c: Context) -> None:
    """Hold dispatch until the vector unit has written x: an integer that it produces is read.

    C_WAIT_IDLE would do, but it would also wait for the weight stream.
    """
    b, v = c.b, c.vectors
    b.v_rows(1)
    with b.reg() as index:
        b.emit("S_ADD_FP", _IGNORED, 0, 0)
        b.emit("V_RED_MAX_IDX", index, c.v(v.x + c.dims.hidden.blocks * v.rows - 1), 0, _IGNORED)
        b.emit("S_ADDI_INT", index, index, 0)


def _put_parts(c: Context, part: int, *, gather: bool) -> None:
    """Send every other core its part, to be added; or (gather) the part that this core owns."""
    b, pitch = c.b, part * c.dims.view.vlen
    with b.reg() as peer, b.reg() as place:
        for index in range(c.dims.view.cores - 1):
            b.load(peer, Cell.PEERS + index)
            if gather:
                b.load(place, Cell.CORE)
                b.emit("S_MUL_INT", place, place, b.const(pitch))
            else:
                b.emit("S_MUL_INT", place, peer, b.const(pitch))
            b.add(place, c.vectors.x * c.dims.view.vlen)
            b.emit("N_PUT", place, place, peer, int(not gather))
