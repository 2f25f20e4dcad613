"""Rows that enter as sums of a few embeddings: those of the row's most probable tokens and of the mask token.

The weights are the tokens' probabilities, and for the mask what is left of 1; the sum is scaled to the weighted sum
of its terms' norms (DMax, arXiv 2604.08302). One token is the one that was sampled; more are found in the logits.
"""

from __future__ import annotations

from archsim.errors import WorkloadError
from workloads.lowering.emit.context import Context
from workloads.lowering.emit.places import A_LOGITS, A_TABLES, F_EPSILON, Cell
from workloads.lowering.plan.dims import ceil_div
from workloads.lowering.sampling.plan import SamplingPlan
from workloads.lowering.sampling.transfer import make_minus_infinity

_LARGEST, _NEXT, _SUM, _HUGE, _MINUS = 1, 2, 3, 4, 5


def mix_tokens(c: Context, plan: SamplingPlan) -> None:
    """Leave the mixtures where the residual was, [column block][row].

    Raises WorkloadError where Vector SRAM has no room beside the residual.
    """
    _Mix(c, plan).run()


class _Mix:
    """Vectors in the sampling area: a row's statistic each, then the mask's embedding, then squares or logits."""

    def __init__(self, context: Context, plan: SamplingPlan) -> None:
        self.c, self.plan = context, plan
        c = context
        self.rows, self.vlen, self.blocks = c.kind.mix_rows, c.dims.view.vlen, c.dims.hidden.blocks
        self.tokens = c.kind.mix_terms - 1
        self.chunks = ceil_div(c.dims.model.vocab, self.vlen)
        base = c.vectors.sampling
        self.weight, self.first, self.norm, self.goal, self.mask = (base + index for index in range(5))
        self.scratch = self.mask + self.blocks
        free = c.vectors.sampling_vectors - 4 - self.blocks
        needed = max(self.rows, 2 * self.chunks if self.tokens > 1 else 0)
        if self.rows > self.vlen or free < needed:
            found = f"mixtures of {self.tokens} tokens: {free} vectors are free for {self.rows} rows"
            raise WorkloadError(f"{found}; expected at least {needed}, and at most {self.vlen} rows")

    def run(self) -> None:
        """m + sum of w_i (E_i - m), scaled."""
        c, x = self.c, self.c.vectors.x
        if self.tokens > 1:
            self._find_further()
        self._gather_mask()
        for index in range(self.tokens):
            self._term(index, c.vectors.normed if index else x)
        self._scale()

    def _gather_mask(self) -> None:
        """The mask token's embedding, and its norm in an f register; the goal starts with it."""
        c, b = self.c, self.c.b
        b.store(b.const(c.dims.model.mask_id or 0), Cell.MASK_ID)
        b.h_rows(1, c.dims.hidden.width, 0)
        b.emit("S_ADD_FP", _SUM, 0, 0)
        b.v_rows(1)
        for block, table in enumerate(c.tensors.embedding):
            b.address(A_TABLES, table.base)
            b.emit("H_GATHER_V", c.v(self.mask + block), b.const(Cell.MASK_ID), A_TABLES, c.embedding_precision)
            b.emit("V_MUL_VV", c.v(self.scratch), *2 * (c.v(self.mask + block),))
            b.emit("V_RED_SUM", _SUM, c.v(self.scratch))
        b.emit("S_SQRT_FP", _SUM, _SUM)
        b.emit("V_MUL_VF", c.v(self.goal), c.v(self.mask), 0)
        b.emit("V_ADD_VF", c.v(self.goal), c.v(self.goal), _SUM)

    def _term(self, index: int, place: int) -> None:
        """Gather the tokens of one rank and add what they weigh; the goal moves by w (|E| - |m|)."""
        c, b, x = self.c, self.c.b, self.c.vectors.x
        self._gather(index, place)
        self._sum_squares(place)
        weight = self._weigh(index)
        b.v_rows(1)
        b.emit("V_RSQRT_V", *2 * (c.v(self.norm),))
        b.emit("V_RECI_V", *2 * (c.v(self.norm),))
        b.emit("V_SUB_VF", *2 * (c.v(self.norm),), _SUM)
        b.emit("V_MUL_VV", *2 * (c.v(self.norm),), c.v(weight))
        b.emit("V_ADD_VV", *2 * (c.v(self.goal),), c.v(self.norm))
        b.v_seg(self.vlen)
        for block in range(self.blocks):
            row = place + block * self.rows
            b.v_rows(c.mix_rows, 1, 0)
            b.emit("V_SUB_VV", *2 * (c.v(row),), c.v(self.mask + block))
            b.v_rows(c.mix_rows)
            b.emit("V_MUL_SEG", *2 * (c.v(row),), c.v(weight))
            if index:
                b.emit("V_ADD_VV", *2 * (c.v(x + block * self.rows),), c.v(row))

    def _gather(self, index: int, place: int) -> None:
        c, b = self.c, self.c.b
        b.h_rows(c.mix_rows, c.dims.hidden.width, 0)
        with b.reg(c.further + (index - 1) * self.rows) as ids:
            if index == 0:
                b.load(ids, Cell.MIX_FIRST)
                b.add(ids, self.plan.x0)
            for block, table in enumerate(c.tensors.embedding):
                b.address(A_TABLES, table.base)
                b.emit("H_GATHER_V", c.v(place + block * self.rows), ids, A_TABLES, c.embedding_precision)

    def _sum_squares(self, place: int) -> None:
        c, b = self.c, self.c.b
        b.v_rows(c.mix_rows)
        b.v_seg(self.vlen)
        b.v_lanes(c.dims.hidden.width % self.vlen)
        for block in range(self.blocks):
            row = c.v(place + block * self.rows)
            b.emit("V_MUL_VV", c.v(self.scratch), row, row)
            b.emit("V_RED_SUM_SEG", c.v(self.norm), c.v(self.scratch), int(block > 0))
        b.v_lanes(0)

    def _weigh(self, index: int) -> int:
        """The vector with the rank's probabilities: of the sampled tokens, or what a further one has of theirs."""
        c, b = self.c, self.c.b
        target = self.weight if index else self.first
        with b.reg(self._further_words(index)) as words:
            if index == 0:
                b.load(words, Cell.MIX_FIRST)
                b.add(words, self.plan.fp_base)
            b.emit("S_MAP_V_FP", c.v(target), words, 0, b.count(c.mix_rows))
        b.v_rows(1)
        if index:
            b.emit("V_MUL_VV", *2 * (c.v(target),), c.v(self.first))
        return target

    def _further_words(self, index: int) -> int:
        """FP_MEM words of a further rank, behind the confidences of all pairs."""
        return self.plan.fp_base + self.plan.rows + 2 + max(index - 1, 0) * self.rows

    def _scale(self) -> None:
        c, b, x = self.c, self.c.b, self.c.vectors.x
        for block in range(self.blocks):
            b.v_rows(c.mix_rows, 1, 0)
            b.emit("V_ADD_VV", *2 * (c.v(x + block * self.rows),), c.v(self.mask + block))
        self._sum_squares(x)
        b.v_rows(1)
        b.emit("V_RSQRT_V", *2 * (c.v(self.norm),))
        b.emit("V_MUL_VV", *2 * (c.v(self.norm),), c.v(self.goal))
        b.v_rows(c.mix_rows)
        for block in range(self.blocks):
            b.emit("V_MUL_SEG", *2 * (c.v(x + block * self.rows),), c.v(self.norm))

    def _find_further(self) -> None:
        """Tokens of the next ranks to INT_MEM, and the exponentials of their logits less the largest to FP_MEM."""
        c, b, emit = self.c, self.c.b, self.c.b.emit
        make_minus_infinity(b, _MINUS)
        emit("S_LD_FP", _HUGE, 0, F_EPSILON)
        emit("S_RECI_FP", _HUGE, _HUGE)
        lanes = c.dims.model.vocab % self.vlen
        with (
            c.offset(Cell.MIX_START, 0) as row,
            b.reg(self._further_words(1)) as words,
            b.reg(c.further) as tokens,
            b.reg() as token,
            b.loop_of(c.mix_rows),
        ):
            b.h_rows(self.chunks, self.vlen, 0)
            b.stride(c.kind.head_rows * self.vlen)
            emit("H_PREFETCH_V", c.v(self.scratch), row, A_LOGITS, 1, c.options.logit_format.code)
            b.v_rows(self.chunks)
            b.v_lanes(lanes, last_row_only=lanes > 0)
            emit("S_ADD_FP", _LARGEST, _MINUS, 0)
            emit("V_RED_MAX_IDX", token, c.v(self.scratch), 0, _LARGEST)
            emit("S_ADD_FP", _SUM, 0, 0)
            for index in range(self.tokens - 1):
                self._next_rank(token)
                emit("S_EXP_FP", _NEXT, _SUM)
                with b.reg() as place:
                    for register, base in ((words, "S_ST_FP"), (tokens, "S_ST_INT")):
                        emit("S_ADD_INT", place, register, b.const(index * self.rows))
                        emit(base, _NEXT if base == "S_ST_FP" else token, place)
            b.add(row, self.vlen)
            b.add(words, 1)
            b.add(tokens, 1)
        b.v_lanes(0)

    def _next_rank(self, token: int) -> None:
        """Take the largest logit off all, make its own place minus infinity, and find the next one.

        exp(huge / difference) is infinite where the difference is 0, and 0 elsewhere; equal logits go together.
        """
        c, emit = self.c, self.c.b.emit
        logits, copy = self.scratch, self.scratch + self.chunks
        emit("V_SUB_VF", *2 * (c.v(logits),), _LARGEST)
        emit("V_RECI_V", c.v(copy), c.v(logits))
        emit("V_MUL_VF", *2 * (c.v(copy),), _HUGE)
        emit("V_EXP_V", *2 * (c.v(copy),))
        emit("V_SUB_VV", *2 * (c.v(logits),), c.v(copy))
        emit("S_ADD_FP", _LARGEST, _MINUS, 0)
        emit("V_RED_MAX_IDX", token, c.v(logits), 0, _LARGEST)
        emit("S_ADD_FP", _SUM, _SUM, _LARGEST)
