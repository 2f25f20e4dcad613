"""Single-pass sampling that follows the LM head, so that logits never leave Vector SRAM.

Every call takes some vocabulary chunks of all rows. Each row keeps its running maximum and sum in
FP_MEM and its token in INT_MEM; when the maximum grows from m to m', the sum is scaled by
exp(m - m') first (the online softmax of Milakov and Gimelshein, arXiv 1805.02867). Per row and
chunk the vector unit does the same work as in two passes.
"""

from __future__ import annotations

from contextlib import ExitStack

import attrs

from archsim.errors import WorkloadError
from workloads.lowering.emit.builder import Builder
from workloads.lowering.sampling.plan import SamplingPlan
from workloads.lowering.sampling.transfer import emit_transfer, make_minus_infinity

SCALARS = 6
"""f registers that online sampling overwrites."""


def state_words(plan: SamplingPlan) -> int:
    """FP_MEM words from `plan.fp_base` on: maximum and sum per row of all sequences, and two of slack each.

    INT_MEM from `plan.x0` on needs as many words of slack behind the tokens.
    """
    return 2 * _padded(plan)


def emit_online_start(builder: Builder, plan: SamplingPlan) -> None:
    """Before the first chunk: maximum -inf, sum 0, token 0 for every row. Needs 4 free gp registers."""
    if plan.score != "confidence" or plan.gap_rows or plan.drawn:
        raise WorkloadError(f"online sampling: {plan.special}; expected confidence, or logits spilled")
    if len(plan.scalars) < SCALARS:
        raise WorkloadError(f"online sampling: {len(plan.scalars)} f registers; expected {SCALARS}")
    minus_infinity = plan.scalars[0]
    make_minus_infinity(builder, minus_infinity)
    with builder.reg(plan.fp_base) as words, builder.reg(plan.x0) as tokens, builder.reg() as sums:
        builder.emit("S_ADDI_INT", sums, words, _padded(plan))
        with builder.loop(_padded(plan)):
            builder.emit("S_ST_FP", minus_infinity, words)
            builder.emit("S_ST_FP", 0, sums)
            builder.emit("S_ST_INT", 0, tokens)
            for register in (words, sums, tokens):
                builder.emit("S_ADDI_INT", register, register, 1)


def emit_online_chunks(builder: Builder, plan: SamplingPlan, first: int, chunks: int, place: int) -> None:
    """Take in chunks `first` .. `first + chunks - 1`, [chunk][row of all sequences] from vector `place` on.

    The logits are overwritten. Needs 7 free gp registers.
    """
    _Online(builder, plan).run(first, chunks, place)


def emit_online_end(builder: Builder, plan: SamplingPlan) -> None:
    """After the last chunk: confidences, and each sequence's transfer. Needs 3 free gp registers.

    A sequence's confidences end up in FP_MEM where its sums were.
    """
    rows = plan.sequences * plan.rows
    sums = plan.fp_base + _padded(plan)
    confidence = plan.scalars[0]
    with builder.reg(sums) as words, builder.loop(rows):
        builder.emit("S_LD_FP", confidence, words)
        builder.emit("S_RECI_FP", confidence, confidence)
        builder.emit("S_ST_FP", confidence, words)
        builder.emit("S_ADDI_INT", words, words, 1)
    for sequence in range(plan.sequences):
        emit_transfer(builder, attrs.evolve(plan, fp_base=sums + sequence * plan.rows), sequence)


def _padded(plan: SamplingPlan) -> int:
    """Rows, rounded up to a pair, and the pair that is loaded ahead at the end of the loop."""
    return (plan.sequences * plan.rows + 1) // 2 * 2 + 2


@attrs.frozen
class _Bank:
    """Registers of one row in flight: gp of the token, f registers of old and new maximum and of the sum."""

    token: int
    old: int
    maximum: int
    total: int


class _Online:
    """One group of chunks. Rows go in pairs, one bank each; a row's state is loaded one row ahead."""

    def __init__(self, builder: Builder, plan: SamplingPlan) -> None:
        self.builder, self.plan, self.emit = builder, plan, builder.emit

    def run(self, first: int, chunks: int, place: int) -> None:
        plan, builder = self.plan, self.builder
        rows = plan.sequences * plan.rows
        builder.v_rows(chunks, rows, rows)
        lanes = plan.last_lanes if first + chunks == plan.chunks else 0
        builder.v_lanes(lanes, last_row_only=lanes > 0)
        with ExitStack() as stack:
            row, state, tokens, base, *index = (
                stack.enter_context(builder.reg(value))
                for value in (place * plan.vlen, plan.fp_base, plan.x0, first * plan.vlen, None, None)
            )
            even, odd = (_Bank(gp, *plan.scalars[3 * i : 3 * i + 3]) for i, gp in enumerate(index))
            self._load(even, state, tokens, 0)
            if rows > 1:
                with builder.loop(rows // 2):
                    self._row(even, row, base, (odd, state, tokens, 1))
                    self._store(even, state, tokens, 0)
                    self._row(odd, row, base, (even, state, tokens, 2))
                    self._store(odd, state, tokens, 1)
                    self.emit("S_ADDI_INT", state, state, 2)
                    self.emit("S_ADDI_INT", tokens, tokens, 2)
            if rows % 2:
                self._row(even, row, base, (odd, state, tokens, 1))
                self._store(even, state, tokens, 0)

    def _load(self, bank: _Bank, state: int, tokens: int, index: int) -> None:
        self.emit("S_LD_FP", bank.old, state, index)
        self.emit("S_ADD_FP", bank.maximum, bank.old, 0)
        self.emit("S_LD_FP", bank.total, state, _padded(self.plan) + index)
        self.emit("S_LD_INT", bank.token, tokens, index)

    def _store(self, bank: _Bank, state: int, tokens: int, index: int) -> None:
        self.emit("S_ST_FP", bank.maximum, state, index)
        self.emit("S_ST_FP", bank.total, state, _padded(self.plan) + index)
        self.emit("S_ST_INT", bank.token, tokens, index)

    def _row(self, bank: _Bank, row: int, base: int, following: tuple[_Bank, int, int, int]) -> None:
        self.emit("V_RED_MAX_IDX", bank.token, row, base, bank.maximum)
        self.emit("S_SUB_FP", bank.old, bank.old, bank.maximum)
        self.emit("S_EXP_FP", bank.old, bank.old)
        self.emit("S_MUL_FP", bank.total, bank.total, bank.old)
        self._load(*following)
        self.emit("V_SUB_VF", row, row, bank.maximum)
        self.emit("V_EXP_V", row, row)
        self.emit("V_RED_SUM", bank.total, row)
        self.emit("S_ADDI_INT", row, row, self.plan.vlen)
