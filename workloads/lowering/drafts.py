"""Drafts of one canvas as sequences of a batch: copied before the forward, compared and settled after it."""

from __future__ import annotations

from workloads.lowering.emit.context import Context
from workloads.lowering.emit.places import Cell
from workloads.lowering.plan.vectors import MASKS


def emit_fork(c: Context, tokens: int, pitch: int) -> None:
    """Copy the first sequence's canvas to those of the other drafts."""
    c.phase("embed")
    for sequence in range(1, c.sequences):
        _copy(c, tokens, tokens + sequence * pitch, pitch)


def emit_settle(c: Context, tokens: int, pitch: int) -> None:
    """Copy the canvas of the draft that is kept, for which the last one stands, to the first sequence."""
    c.phase("sampling")
    _copy(c, tokens + (c.sequences - 1) * pitch, tokens, pitch)


def emit_verify(c: Context, sampled: int, pitch: int) -> None:
    """Sum the squared differences of sampled tokens and those on the canvas, of every sequence: 0 where all agree.

    The sum of a draft ends in a register; which draft is kept does not depend on it here.
    """
    b, rows = c.b, c.kind.verified
    c.phase("sampling")
    for sequence in range(c.sequences):
        with b.reg(0) as total, b.reg() as drafted, b.reg(sampled + sequence * c.kind.head_rows) as found:
            b.load(drafted, Cell.TOKENS)
            b.add(drafted, sequence * pitch)
            with b.loop(rows), b.reg() as one, b.reg() as other:
                b.emit("S_LD_INT", one, drafted, 0)
                b.emit("S_LD_INT", other, found, 0)
                b.emit("S_SUB_INT", one, one, other)
                b.emit("S_MUL_INT", one, one, one)
                b.emit("S_ADD_INT", total, total, one)
                b.add(drafted, 1)
                b.add(found, 1)


def _copy(c: Context, source: int, target: int, words: int) -> None:
    """Copy words of INT_MEM, as many at a time as a vector has lanes: both choices of the selection are the same.

    The mask may hold anything, but must be written: a round with sampled rows begins with that (`emit_masks`).
    """
    b, vlen = c.b, c.dims.view.vlen
    for start in range(0, words, vlen):
        taken, place = b.const(source + start), b.const(target + start)
        with b.reg(MASKS * vlen) as any_mask, b.reg(min(vlen, words - start)) as count:
            b.emit("S_SELECT_INT", place, taken, taken, any_mask, count)
