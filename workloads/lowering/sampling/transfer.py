"""Around the rows' sampling: masks at the start of a block, the transfer of tokens at the end of a forward."""

from __future__ import annotations

from workloads.lowering.emit.builder import Builder
from workloads.lowering.sampling.draw import emit_draws, emit_not_positive, load_constant
from workloads.lowering.sampling.plan import SamplingPlan


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
    """Give a sequence's chosen positions their token.

    x0 = mask ? x0 : x; x = transfer ? x0 : x; mask -= transfer.
    """
    emit, const = builder.emit, builder.const
    confidence, transfer = plan.confidence * plan.vlen, plan.transfer * plan.vlen
    tokens = plan.x0 + sequence * plan.rows
    if plan.choose is not None and plan.score != "random":
        plan.choose(plan)
    builder.v_rows(1)
    builder.v_lanes(0)
    with builder.reg((plan.masks + sequence) * plan.vlen) as mask, builder.reg() as x:
        if plan.sampled is not None:  # every sampled row is masked: e^0
            emit("V_SUB_VV", mask, mask, mask)
            emit("V_EXP_V", mask, mask)
        rows = plan.row_count
        if plan.score == "random":
            emit_draws(builder, plan, confidence)
        elif plan.choose is None:
            emit("S_MAP_V_FP", const(confidence), const(plan.fp_base), 0, builder.count(rows))
        if plan.variant.select == "top-k":
            emit("V_TOPK_MASK", const(transfer), const(confidence), mask, plan.k_register, builder.count(rows))
        else:
            _emit_passing(builder, plan, mask, x)
        emit("S_ADD_INT", x, plan.x_register, const(sequence * plan.x_pitch))
        emit("S_SELECT_INT", const(tokens), const(tokens), x, mask, builder.count(rows))
        emit("S_SELECT_INT", x, const(tokens), x, const(transfer), builder.count(rows))
        emit("V_SUB_VV", mask, mask, const(transfer))


def _emit_passing(builder: Builder, plan: SamplingPlan, mask: int, one: int) -> None:
    """transfer = the best masked position, and every masked one that passes. `one` is a free gp register."""
    emit, const = builder.emit, builder.const
    confidence, transfer = plan.confidence * plan.vlen, plan.transfer * plan.vlen
    builder.set(one, 1)
    emit("V_TOPK_MASK", const(transfer), const(confidence), mask, one, builder.count(plan.row_count))
    if plan.variant.select == "threshold":
        level = plan.scalars[0]
        load_constant(builder, plan, level, "level")
        emit("V_SUB_VF", const(confidence), const(confidence), level, 0, 1)
        # What is missing to the threshold, or anything but 0 for the best one.
        emit("V_MAX_VV", const(confidence), const(confidence), const(transfer))
    else:
        _emit_factor(builder, plan, mask, one)
    emit("V_SELECT_VVM", const(transfer), const(transfer), mask, const(confidence))


def _emit_factor(builder: Builder, plan: SamplingPlan, mask: int, k: int) -> None:
    """The confidences' vector = 0 where the position passes, and transfer = 0.

    One position a trip, the best first: it is lowered by 1, and by DROP if it passes, so that it is not found
    again. Addresses cannot depend on data, so each is found by V_TOPK_MASK with k = 1. Positions that are
    not masked count as 0; when nothing else is left, lowering what has been found already does no harm.
    """
    one, ordinal, best, scratch = plan.scalars[:4]
    emit, const = builder.emit, builder.const
    rows, confidence, transfer = plan.row_count, plan.confidence * plan.vlen, plan.transfer * plan.vlen
    emit("V_MUL_VV", const(confidence), const(confidence), mask)
    emit("S_EXP_FP", one, 0)
    emit("S_ADD_FP", ordinal, one, one)
    load_constant(builder, plan, best, "drop")  # the best passes whatever it is
    _emit_lower(builder, plan, best)
    with builder.loop_of(rows):
        emit("S_SUB_FP", best, 0, ordinal)
        builder.v_lanes(rows)
        emit("V_RED_MAX", best, const(confidence))
        builder.set(k, 1)
        emit("V_TOPK_MASK", const(transfer), const(confidence), mask, k, builder.count(rows))
        emit("S_ADD_FP", ordinal, ordinal, one)
        emit("S_SUB_FP", best, one, best)
        emit("S_MUL_FP", best, best, ordinal)
        load_constant(builder, plan, scratch, "level")
        emit("S_SUB_FP", best, best, scratch)
        load_constant(builder, plan, scratch, "steep")
        emit_not_positive(builder, best, scratch)
        load_constant(builder, plan, scratch, "drop")
        emit("S_MUL_FP", best, best, scratch)
        emit("S_ADD_FP", best, best, one)
        _emit_lower(builder, plan, best)
    builder.v_lanes(0)
    load_constant(builder, plan, scratch, "drop")
    load_constant(builder, plan, best, "half")
    emit("S_MUL_FP", best, best, scratch)
    emit("V_ADD_VF", const(confidence), const(confidence), best)
    emit("V_SUB_VV", const(transfer), const(transfer), const(transfer))
    emit("V_MAX_VV", const(confidence), const(confidence), const(transfer))


def _emit_lower(builder: Builder, plan: SamplingPlan, by: int) -> None:
    confidence, transfer = plan.confidence * plan.vlen, plan.transfer * plan.vlen
    builder.emit("V_MUL_VF", builder.const(transfer), builder.const(transfer), by)
    target = builder.const(confidence)
    builder.emit("V_SUB_VV", target, target, builder.const(transfer))


def make_minus_infinity(builder: Builder, scalar: int) -> None:
    """Put -inf into an f register: 0 - 1/0."""
    builder.emit("S_RECI_FP", scalar, 0)
    builder.emit("S_SUB_FP", scalar, 0, scalar)
