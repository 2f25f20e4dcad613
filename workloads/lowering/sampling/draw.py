"""Tokens drawn rather than taken: top-p by bisection, and Gumbel noise on the logits.

Noise: the argmax of l + T g, g drawn from the standard Gumbel distribution, is a draw from softmax(l / T)
(LLaDA's generate does the same on exp(l)). V_GUMBEL_V makes g; each row of logits takes a number of its own.

Top-p: the instruction set compares lanes with one scalar, but moves values between lanes only by whole vectors
of zeros, so that sorting a vocabulary is out of reach. The least logit that is kept is found instead, by bisection
on the distance to the largest: 12 passes over the row, each a masked sum of exponentials, find it to 1/256.
"""

from __future__ import annotations

from workloads.lowering.emit.builder import Builder, Word
from workloads.lowering.emit.constants import emit_value
from workloads.lowering.sampling.plan import SamplingPlan
from workloads.lowering.sampling.scores import Bank
from workloads.lowering.sampling_variant import SamplingVariant

CONSTANTS = ("steep", "temperature", "top_p", "level", "depth", "half", "drop")
"""FP_MEM words of a variant, in order."""
STEEP = 2.0**17
"""Times the least distance of two logits, far more than an exponential can bear."""
DROP = 2.0**15
"""More than the rows of any block."""
STEPS = 12
"""Bisections of top-p."""
DEPTH = 16.0
"""How far below the largest logit top-p looks: a vocabulary of 2^17 such tokens weighs 1.5 %."""


def emit_variant_constants(builder: Builder, variant: SamplingVariant, first: int) -> None:
    """Store what a variant compares and multiplies with, from FP_MEM word `first` on. Overwrites f1 to f3."""
    if not variant.constants:
        return
    values = {
        "steep": STEEP, "temperature": variant.temperature, "top_p": variant.top_p, "level": variant.level,
        "depth": DEPTH, "half": 0.5, "drop": DROP,
    }  # fmt: skip
    for word, name in enumerate(CONSTANTS):
        if values[name]:
            emit_value(builder, values[name], first + word)


def load_constant(builder: Builder, plan: SamplingPlan, scalar: int, name: str) -> None:
    """An f register = a constant by name."""
    builder.emit("S_LD_FP", scalar, 0, plan.constants + CONSTANTS.index(name))


def emit_draws(builder: Builder, plan: SamplingPlan, target: int) -> None:
    """Vector rows at element `target` = Gumbel draws that no other instruction of the program has."""
    number = builder.count(Word(plan.draws))
    builder.emit("V_GUMBEL_V", builder.const(target), number)
    builder.emit("S_ADDI_INT", number, number, 1)
    builder.store(number, plan.draws)


def emit_not_positive(builder: Builder, scalar: int, steep: int) -> None:
    """scalar = 1 if it is 0 or less, 0 if it is larger."""
    builder.emit("S_MAX_FP", scalar, scalar, 0)
    builder.emit("S_MUL_FP", scalar, scalar, steep)
    builder.emit("S_SUB_FP", scalar, 0, scalar)
    builder.emit("S_EXP_FP", scalar, scalar)


class Draw:
    """One row's token: `row` is the register of its address, `copy` the element where as many vectors are free.

    f registers beside the bank's: two that hold nothing between rows, and minus infinity.
    """

    def __init__(self, builder: Builder, plan: SamplingPlan, bank: Bank, row: int, copy: int) -> None:
        self.builder, self.plan, self.emit = builder, plan, builder.emit
        self.bank, self.row, self.place = bank, row, copy
        self.spare = plan.scalars[2:4]

    @property
    def copy(self) -> int:
        """A register with the copy's address, for the next instruction."""
        return self.builder.const(self.place)

    def noisy_token(self) -> None:
        """bank.token = argmax of the row with noise, which is left in the copy; its largest in a spare register."""
        largest, scale = self.spare
        emit = self.emit
        emit_draws(self.builder, self.plan, self.place)
        load_constant(self.builder, self.plan, scale, "temperature")
        emit("V_MUL_VF", self.copy, self.copy, scale)
        emit("V_ADD_VV", self.copy, self.copy, self.row)
        emit("S_ADD_FP", largest, self.plan.scalars[4], 0)
        emit("V_RED_MAX_IDX", self.bank.token, self.copy, 0, largest)

    def token_lanes(self) -> None:
        """The copy, as `noisy_token` left it, becomes 1 where it is largest, 0 elsewhere."""
        largest, scale = self.spare
        load_constant(self.builder, self.plan, scale, "steep")
        self.emit("V_SUB_VF", self.copy, self.copy, largest)
        self.emit("V_MUL_VF", self.copy, self.copy, scale)
        self.emit("V_EXP_V", self.copy, self.copy)

    def top_p(self) -> None:
        """Lower the logits that top-p leaves out so far that their exponentials vanish.

        The row holds logits less the largest. Overwrites the copy and all f registers but minus infinity.
        """
        limit, target, step = self.bank.maximum, self.bank.total, self.bank.weighted
        candidate, mass = self.spare
        builder, plan, emit = self.builder, self.plan, self.emit
        emit("V_EXP_V", self.copy, self.row)
        emit("S_ADD_FP", target, 0, 0)
        emit("V_RED_SUM", target, self.copy)
        load_constant(builder, plan, candidate, "top_p")
        emit("S_MUL_FP", target, target, candidate)
        load_constant(builder, plan, step, "depth")
        emit("S_SUB_FP", limit, 0, step)
        with builder.loop(STEPS):
            load_constant(builder, plan, candidate, "half")
            emit("S_MUL_FP", step, step, candidate)
            emit("S_ADD_FP", candidate, limit, step)
            self._cut(candidate)
            emit("V_EXP_V", self.copy, self.copy)
            emit("S_ADD_FP", mass, 0, 0)
            emit("V_RED_SUM", mass, self.copy)
            self._raise_limit(limit, target, step)
        self._cut(limit)
        emit("V_ADD_VF", self.row, self.copy, 0)

    def _raise_limit(self, limit: int, target: int, step: int) -> None:
        """limit += step where mass >= target."""
        steep, mass = self.spare
        emit = self.emit
        load_constant(self.builder, self.plan, steep, "steep")
        emit("S_SUB_FP", mass, target, mass)
        emit_not_positive(self.builder, mass, steep)
        emit("S_MUL_FP", mass, mass, step)
        emit("S_ADD_FP", limit, limit, mass)

    def _cut(self, limit: int) -> None:
        """copy = row - steep * max(0, limit - row). `limit` is overwritten."""
        builder, plan, emit = self.builder, self.plan, self.emit
        emit("V_SUB_VF", self.copy, self.row, limit, 0, 1)
        builder.v_rows(plan.chunks, 1, 0)
        emit("V_MAX_VV", self.copy, self.copy, builder.const(plan.zeros * plan.vlen))
        builder.v_rows(plan.chunks, 1, 1)
        load_constant(builder, plan, limit, "steep")
        emit("V_MUL_VF", self.copy, self.copy, limit)
        emit("V_SUB_VV", self.copy, self.row, self.copy)


def emit_zeros(builder: Builder, plan: SamplingPlan) -> None:
    """The vector of zeros that top-p needs: any vector that has been written, moved out of itself."""
    builder.v_rows(1)
    zeros, written = builder.const(plan.zeros * plan.vlen), builder.const(plan.masks * plan.vlen)
    builder.emit("V_SHFT_V", zeros, written, builder.const(plan.vlen))
