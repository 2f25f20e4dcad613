"""Rows that enter as sums of embeddings: made behind the sampling of one forward, for the start of the next.

Sums of all embeddings, weighted by the row's probabilities, are a softmax of the row's logits and a product with
the transposed embedding. They go on top of the row's own embedding, that of the mask token. In between they lie in
HBM, [row][column block][lane]. Every core makes all of them. For sums of a few see `soft_tokens`.
"""

from __future__ import annotations

from collections.abc import Callable

from archsim.errors import WorkloadError
from workloads.lowering.emit.builder import Word
from workloads.lowering.emit.context import Context
from workloads.lowering.emit.places import A_LOGITS, A_TABLES, Cell
from workloads.lowering.emit.weights import Rows
from workloads.lowering.head.soft_tokens import mix_tokens
from workloads.lowering.plan.dims import ceil_div
from workloads.lowering.sampling.plan import SamplingPlan

_ONE = 1


def load_soft(c: Context) -> None:
    """Add the mixtures of the forward's soft rows to their embeddings, or put them in their place.

    Raises WorkloadError for several sequences and for row tiles.
    """
    b, v, blocks = c.b, c.vectors, c.dims.hidden.blocks
    if c.sequences > 1 or c.tiling is not None:
        found = f"mixtures of embeddings for {c.sequences} sequences"
        raise WorkloadError(f"{found}; expected one sequence whose rows all fit Vector SRAM at once")
    rows = Word(Cell.SOFT_ROWS) if c.kind.soft_varies else c.kind.soft_rows
    assert c.tensors.soft is not None
    b.address(A_TABLES, c.tensors.soft.base)
    b.h_rows(rows, blocks * c.dims.view.vlen, v.rows)
    b.emit("H_PREFETCH_V", c.v(v.normed), 0, A_TABLES, 0, c.table_precision)
    b.v_rows(rows)
    for block in range(blocks):
        with c.offset(Cell.SOFT_START, (v.x + block * v.rows) * c.dims.view.vlen) as place:
            mixture = c.v(v.normed + block * v.rows)
            if c.kind.soft_terms:
                b.emit("V_ADD_VF", place, mixture, 0)
            else:
                b.emit("V_ADD_VV", place, place, mixture)


def make_soft(c: Context, plan: SamplingPlan) -> None:
    """Mixtures of the next forward's soft rows, from this one's logits.

    Raises WorkloadError for several sequences, too many rows, and where the logits are gone.
    """
    c.phase("mix")
    v, kind = c.vectors, c.kind
    if c.sequences > 1 or kind.mix_rows > v.rows:
        found = f"mixtures of embeddings: {kind.mix_rows} rows of {c.sequences} sequences"
        raise WorkloadError(f"{found}; expected one sequence whose rows all fit Vector SRAM at once")
    if c.options.logits == "online" or (c.options.logits != "spill" and kind.mix_terms != 2):
        raise WorkloadError(f"option logits: {c.options.logits}: logits are mixed again later; expected spill")
    c.b.v_lanes(0)
    if kind.mix_terms:
        mix_tokens(c, plan)
    else:
        _Vocabulary(c).run()
    _store(c)


def _store(c: Context) -> None:
    b, blocks = c.b, c.dims.hidden.blocks
    assert c.tensors.soft is not None
    b.address(A_TABLES, c.tensors.soft.base)
    b.h_rows(c.mix_rows, blocks * c.dims.view.vlen, c.kind.mix_rows)
    b.emit("H_STORE_V", c.v(c.vectors.x), 0, A_TABLES, 0, c.table_precision)


class _Vocabulary:
    """Sums of all embeddings: parts of the vocabulary, as many chunks each as the weight ring and the area hold."""

    def __init__(self, context: Context) -> None:
        self.c = c = context
        assert c.mix_plan is not None
        gemms = c.mix_plan.stage.gemms[:: c.dims.hidden.blocks]
        ends = [0]
        for gemm in gemms:
            ends.append(ends[-1] + gemm.k_tiles)
        self.parts = [range(start, end) for start, end in zip(ends, ends[1:], strict=False)]
        self.rows, self.vlen = c.kind.mix_rows, c.dims.view.vlen
        statistics = ceil_div(self.rows, self.vlen)
        self.largest = c.vectors.sampling
        self.total = self.largest + statistics
        self.zeros, self.valid = (self.total + statistics + index for index in range(2))
        self.logits = self.valid + 1
        self.lanes = c.dims.model.vocab % self.vlen
        """Lanes of the vocabulary's last chunk that hold logits, 0 if all do."""

    def run(self) -> None:
        """Probabilities of all parts times their embeddings, then over the sums, to the place of the residual."""
        c, b, x = self.c, self.c.b, self.c.vectors.x
        assert c.mix_plan is not None
        c.stream.begin(c.mix_plan)
        if self.lanes:
            self._mark_lanes()
        if len(self.parts) > 1:
            for part in self.parts:
                self._load(part)
                self._sweep(part, self._maximum)
        for index, part in enumerate(self.parts):
            self._load(part)
            if len(self.parts) == 1:
                self._sweep(part, self._maximum)
            self._sweep(part, self._exponential)
            self._product(index)
        c.stream.end()
        b.v_rows(ceil_div(self.rows, self.vlen))
        b.emit("V_RECI_V", c.v(self.total), c.v(self.total))
        b.v_rows(c.mix_rows)
        b.v_seg(self.vlen)
        for block in range(c.dims.hidden.blocks):
            b.emit("V_MUL_SEG", *2 * (c.v(x + block * self.rows),), c.v(self.total))

    def _mark_lanes(self) -> None:
        """A vector of zeros, and one with ones in the lanes of the last chunk that hold logits."""
        c, b = self.c, self.c.b
        zeros, valid = self.zeros, self.valid
        b.v_rows(1)
        b.emit("V_MUL_VF", c.v(zeros), c.v(c.vectors.cosines), 0)
        b.emit("V_EXP_V", c.v(valid), c.v(zeros))
        b.emit("V_SHFT_V", *2 * (c.v(valid),), b.const(self.lanes))
        b.emit("S_EXP_FP", _ONE, 0)
        b.emit("V_SUB_VF", *2 * (c.v(valid),), _ONE, 0, 1)

    def _load(self, part: range) -> None:
        """The rows' logits, from [chunk][row of the LM head] to [chunk][row]."""
        c, b, step = self.c, self.c.b, self.c.kind.head_rows * self.vlen
        b.h_rows(c.mix_rows, self.vlen, 0)
        with (
            c.offset(Cell.MIX_START, part.start * step) as source,
            b.reg(self.logits * self.vlen) as target,
            b.loop(len(part)),
        ):
            b.emit("H_PREFETCH_V", target, source, A_LOGITS, 0, c.options.logit_format.code)
            b.add(source, step)
            b.add(target, self.rows * self.vlen)

    def _sweep(self, part: range, body: Callable[[int, int], None]) -> None:
        """`body` for every chunk, given a register with its place and 0 where it is the vocabulary's first."""
        c, b = self.c, self.c.b
        lanes = self.lanes if part.stop * self.vlen > c.dims.model.vocab else 0
        b.v_rows(c.mix_rows)
        b.v_seg(self.vlen)
        left = len(part)
        with b.reg(self.logits * self.vlen) as place:
            if part.start == 0 and left > 1:
                body(place, 0)
                b.add(place, self.rows * self.vlen)
                left -= 1
            if left > 1:
                with b.loop(left - 1):
                    body(place, 1)
                    b.add(place, self.rows * self.vlen)
            b.v_lanes(lanes)
            body(place, int(len(part) > 1 or part.start > 0))
            b.v_lanes(0)
            if lanes:
                b.v_rows(c.mix_rows, 1, 0)
                b.emit("V_SELECT_VVM", place, place, c.v(self.zeros), c.v(self.valid))

    def _maximum(self, place: int, later: int) -> None:
        self.c.b.emit("V_RED_MAX_SEG", self.c.v(self.largest), place, later)

    def _exponential(self, place: int, later: int) -> None:
        b = self.c.b
        b.emit("V_SUB_SEG", place, place, self.c.v(self.largest))
        b.emit("V_EXP_V", place, place)
        b.emit("V_RED_SUM_SEG", self.c.v(self.total), place, later)

    def _product(self, index: int) -> None:
        c, b, v = self.c, self.c.b, self.c.vectors
        last = Word(Cell.LAST_MIX) if c.kind.mix_varies else None
        source = Rows(base=self.logits, rows=self.rows, pitch=self.rows, count=c.mix_rows, last=last)
        for block in range(c.dims.hidden.blocks):
            x = v.x + block * self.rows
            product = v.normed + block * self.rows if index else x
            c.stream.gemm(f"mix{index}.{block}", source, product)
            if index:
                b.v_rows(c.mix_rows)
                b.emit("V_ADD_VV", c.v(x), c.v(x), c.v(product))
