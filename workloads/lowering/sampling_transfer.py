"""Around the rows' sampling: masks at the start of a block, the transfer of tokens at the end of a forward."""

from __future__ import annotations

from workloads.lowering.builder import Builder
from workloads.lowering.sampling_plan import SamplingPlan


def emit_masks(builder: Builder, plan: SamplingPlan) -> None:
    """At the start of a block: mark every row of every sequence as masked."""
    ones = plan.scalars[0]
    builder.emit("S_EXP_FP", ones, 0)  # e^0
    with builder.reg(plan.fp_base) as words, builder.loop(plan.rows):
        builder.emit("S_ST_FP", ones, words)
        builder.emit("S_ADDI_INT", words, words, 1)
    for sequence in range(plan.sequences):
        mask = builder.const((plan.masks + sequence) * plan.vlen)
        builder.emit("S_MAP_V_FP", mask, builder.const(plan.fp_base), 0, builder.const(plan.rows))


def emit_transfer(builder: Builder, plan: SamplingPlan, sequence: int) -> None:
    """Give the k most confident masked positions of a sequence their token.

    x0 = mask ? x0 : x; x = transfer ? x0 : x; mask -= transfer.
    """
    emit, const = builder.emit, builder.const
    confidence, transfer = plan.confidence * plan.vlen, plan.transfer * plan.vlen
    tokens = plan.x0 + sequence * plan.rows
    if plan.choose is not None:
        plan.choose(plan)
    builder.v_rows(1)
    builder.v_lanes(0)
    with builder.reg((plan.masks + sequence) * plan.vlen) as mask, builder.reg() as x:
        if plan.sampled is not None:  # every sampled row is masked: e^0
            emit("V_SUB_VV", mask, mask, mask)
            emit("V_EXP_V", mask, mask)
        rows = plan.row_count
        if plan.choose is None:
            emit("S_MAP_V_FP", const(confidence), const(plan.fp_base), 0, builder.count(rows))
        emit("V_TOPK_MASK", const(transfer), const(confidence), mask, plan.k_register, builder.count(rows))
        emit("S_ADD_INT", x, plan.x_register, const(sequence * plan.x_pitch))
        emit("S_SELECT_INT", const(tokens), const(tokens), x, mask, builder.count(rows))
        emit("S_SELECT_INT", x, const(tokens), x, const(transfer), builder.count(rows))
        emit("V_SUB_VV", mask, mask, const(transfer))


def make_minus_infinity(builder: Builder, scalar: int) -> None:
    """Put -inf into an f register: 0 - 1/0."""
    builder.emit("S_RECI_FP", scalar, 0)
    builder.emit("S_SUB_FP", scalar, 0, scalar)
