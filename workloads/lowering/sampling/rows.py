"""What is done to one row of logits on chip: token, sums, and what the row is chosen by."""

from __future__ import annotations

from workloads.lowering.emit.builder import Builder
from workloads.lowering.sampling.draw import Draw
from workloads.lowering.sampling.plan import COPIED, SamplingPlan
from workloads.lowering.sampling.scores import Bank, emit_distances, emit_score
from workloads.lowering.sampling.stability import STABILITY, emit_stability


class RowWork:
    """Emits the work on a row; the registers of a bank hold what is known of it so far."""

    def __init__(self, builder: Builder, plan: SamplingPlan) -> None:
        self.builder, self.plan, self.emit = builder, plan, builder.emit
        self.minus_infinity = plan.scalars[4]
        self.sequence = 0
        """The sequence whose rows are worked on."""

    def start(self, bank: Bank) -> None:
        """Before the row: maximum minus infinity, sums 0."""
        self.emit("S_ADD_FP", bank.maximum, self.minus_infinity, 0)
        self._clear_sums(bank)

    def _clear_sums(self, bank: Bank) -> None:
        if self.plan.summed:
            self.emit("S_ADD_FP", bank.total, 0, 0)
        if self.plan.score == "margin":
            self.emit("S_ADD_FP", bank.weighted, self.minus_infinity, 0)
        elif self.plan.copied:
            self.emit("S_ADD_FP", bank.weighted, 0, 0)

    def finish(self, bank: Bank, words: int, tokens: int, index: int) -> None:
        """After the row: its score to FP_MEM and its token to INT_MEM, `index` words behind those addresses."""
        plan = self.plan
        if plan.score == STABILITY:
            word = words, index + plan.rows + 1 + self.sequence * plan.rows
            emit_stability(self.builder, bank, plan.scalars, word, compared=plan.previous >= 0)
            self.emit("S_ST_FP", bank.total, words, index)
        elif plan.summed:
            emit_score(self.builder, plan.score, bank, (plan.scalars[2], plan.scalars[3]), drawn=plan.variant.noisy)
            self.emit("S_ST_FP", bank.total, words, index)
        self.emit("S_ST_INT", bank.token, tokens, index)

    def whole_row(self, bank: Bank, row: int) -> None:
        """All chunks of a row, which are overwritten; `row` is the register of their address."""
        plan, emit = self.plan, self.emit
        if not plan.drawn:
            emit("V_RED_MAX_IDX", bank.token, row, 0, bank.maximum)
        elif plan.variant.top_p < 1 or plan.summed:
            self._draw_below_largest(bank, row)
            return
        else:
            Draw(self.builder, plan, bank, row, self._copy).noisy_token()
        if plan.score == STABILITY:
            self._compare(bank, row)
        elif plan.summed:
            emit("V_SUB_VF", row, row, bank.maximum)
            self.sum(bank, row)

    def _compare(self, bank: Bank, row: int) -> None:
        """Exponentials, their sum, and that of their products with what the logits changed by."""
        plan, emit = self.plan, self.emit
        changes = self.builder.const((plan.buffer + (2 + bank.index) * plan.chunks) * plan.vlen)
        if plan.previous >= 0:
            emit("V_SUB_VV", changes, row, changes)
        emit("V_SUB_VF", row, row, bank.maximum)
        emit("V_EXP_V", row, row)
        emit("V_RED_SUM", bank.total, row)
        if plan.previous >= 0:
            emit("V_MUL_VV", changes, changes, row)
            emit("V_RED_SUM", bank.weighted, changes)

    def _draw_below_largest(self, bank: Bank, row: int) -> None:
        """The token by noise or among the most probable, and the sums, from logits less the largest."""
        plan, emit = self.plan, self.emit
        draw = Draw(self.builder, plan, bank, row, self._copy)
        emit("V_RED_MAX_IDX", bank.token, row, 0, bank.maximum)
        emit("V_SUB_VF", row, row, bank.maximum)
        if plan.variant.top_p < 1:
            draw.top_p()
            self._clear_sums(bank)
        if plan.variant.noisy:
            draw.noisy_token()
        if not plan.summed:
            return
        if plan.score != "confidence" or not plan.variant.noisy:
            self.sum(bank, row)
            return
        draw.token_lanes()
        emit("V_EXP_V", row, row)
        emit("V_RED_SUM", bank.total, row)
        emit("V_MUL_VV", row, row, draw.copy)
        emit("V_RED_SUM", bank.weighted, row)

    @property
    def _copy(self) -> int:
        """First element of the copy of what is worked on."""
        return (self.plan.buffer + 2 * self.plan.part) * self.plan.vlen

    def sum(self, bank: Bank, address: int) -> None:
        """Sums over logits less the largest of the row."""
        plan, emit = self.plan, self.emit
        if plan.score not in COPIED:
            emit("V_EXP_V", address, address)
            emit("V_RED_SUM", bank.total, address)
            return
        copy = self.builder.const(self._copy)
        if plan.score == "entropy":
            emit("V_EXP_V", copy, address)
            emit("V_RED_SUM", bank.total, copy)
            emit("V_MUL_VV", address, address, copy)
            emit("V_RED_SUM", bank.weighted, address)
        else:
            emit_distances(self.builder, copy, address)
            emit("V_RED_MAX", bank.weighted, copy)
            emit("V_EXP_V", address, address)
            emit("V_RED_SUM", bank.total, address)
