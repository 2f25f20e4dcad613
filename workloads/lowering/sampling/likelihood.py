"""Log-likelihood of given tokens: their logits less the logarithm of the row's sum of exponentials.

The logit of a given token is the product of the row that meets the LM head with the token's row of the
embedding, which stands for the LM head's: rows of that one are spread over tiles and cannot be gathered.
"""

from __future__ import annotations

from workloads.lowering.emit.builder import Builder
from workloads.lowering.emit.context import Context
from workloads.lowering.emit.places import A_TABLES, Cell
from workloads.lowering.sampling.plan import SamplingPlan


def first_word(plan: SamplingPlan) -> int:
    """FP_MEM word of the first sequence's sum, behind those of its rows."""
    return plan.fp_base + plan.rows + 1


def add_given(c: Context, pitch: int) -> None:
    """Sum the given tokens' logits of every sequence of the group; each row's is the token behind it."""
    b, v, total = c.b, c.vectors, 1
    rows = c.kind.head_rows - 1
    c.phase("sampling")
    for sequence in range(v.sequences):
        b.emit("S_ADD_FP", total, 0, 0)
        for block, table in enumerate(c.tensors.embedding):
            b.address(A_TABLES, table.base)
            b.h_rows(rows, c.dims.hidden.width, 0)
            with c.offset(Cell.IDS, sequence * pitch + 1) as ids:
                b.emit("H_GATHER_V", c.v(v.logits), ids, A_TABLES, c.embedding_precision)
            b.v_rows(rows)
            normed = v.normed + block * v.head_rows + sequence * c.kind.head_rows
            b.emit("V_MUL_VV", c.v(v.logits), c.v(v.logits), c.v(normed))
            b.v_lanes(c.dims.hidden.width % c.dims.view.vlen)
            b.emit("V_RED_SUM", total, c.v(v.logits))
            b.v_lanes(0)
        with c.offset(Cell.GIVEN, sequence) as word:
            b.emit("S_ST_FP", total, word)


def emit_likelihood(builder: Builder, plan: SamplingPlan, sequence: int) -> None:
    """The sequence's sum, to FP_MEM: what its rows left there and its given tokens' logits; the best one behind all."""
    emit, const = builder.emit, builder.const
    total, given = plan.scalars[2:4]
    builder.v_rows(1)
    builder.v_lanes(plan.rows % plan.vlen)
    place, word = const(plan.confidence * plan.vlen), const(first_word(plan) + sequence)
    best = const(first_word(plan) + plan.sequences)
    with builder.reg(plan.fp_base) as words, builder.reg(plan.rows) as count:
        emit("S_MAP_V_FP", place, words, 0, count)
    emit("S_LD_FP", total, word)
    emit("V_RED_SUM", total, place)
    emit("S_ST_FP", total, word)
    if sequence:
        emit("S_LD_FP", given, best)
        emit("S_MAX_FP", total, total, given)
    emit("S_ST_FP", total, best)
    builder.v_lanes(0)
