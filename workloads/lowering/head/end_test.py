"""The test for end tokens: sampled tokens compared with the one that ends a text, whose number is made up."""

from __future__ import annotations

from workloads.lowering.emit.builder import Count, Word
from workloads.lowering.emit.context import Context
from workloads.lowering.emit.places import Cell


def emit_end_test(c: Context, sampled: int) -> None:
    """The product of the differences of every sequence's sampled tokens and the end token: 0 where one is that token.

    It ends in a register; what the next forward looks like does not depend on it here.
    """
    b, kind = c.b, c.kind
    rows: Count = Word(Cell.SAMPLED) if kind.head_varies else kind.head_rows
    c.phase("sampling")
    for sequence in range(c.sequences):
        with (
            b.reg(1) as product, b.reg(c.dims.model.vocab - 1) as end, b.reg() as token,
            b.reg(sampled + sequence * kind.head_rows) as place, b.loop_of(rows),
        ):  # fmt: skip
            b.emit("S_LD_INT", token, place, 0)
            b.emit("S_SUB_INT", token, token, end)
            b.emit("S_MUL_INT", product, product, token)
            b.add(place, 1)
