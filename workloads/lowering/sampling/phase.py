"""The sampling phase of a forward: token and confidence of every block row, then the transfer.

Stable-Max (d-PLENA, arXiv 2601.20706): conf = softmax at the maximum = 1 / sum(exp(x - max)), so the
probabilities are never built. One vector instruction covers all vocabulary chunks of a row. Two
banks of registers alternate between rows: while the vector unit works on one row, the scalar unit
finishes the row before and starts the row after. After a sequence's last row the k most confident
masked positions take their token.

Modes, by where the logits are:
    spill   in HBM [sequence][chunk][row][VLEN]; groups of rows are loaded ahead into two or
            more buffers, on chip [row][chunk]
    onchip  in Vector SRAM [chunk][row of all sequences] already
    rows    in HBM as for spill, but rows are loaded one by one, as their number is read from a table
    edge    in HBM as for spill, but not even one row fits twice: each row's chunks are loaded in
            groups, once for the maximum and once more for the sum
The single-pass form that follows the LM head chunk by chunk is `sampling_online`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import attrs

from workloads.lowering.emit.builder import Builder
from workloads.lowering.sampling.draw import emit_zeros
from workloads.lowering.sampling.likelihood import emit_likelihood
from workloads.lowering.sampling.plan import SamplingPlan
from workloads.lowering.sampling.rows import RowWork
from workloads.lowering.sampling.scores import LIKELIHOOD, Bank, emit_distances
from workloads.lowering.sampling.stability import STABILITY
from workloads.lowering.sampling.transfer import emit_transfer, make_minus_infinity


@attrs.frozen
class _Group:
    """Rows that are loaded together: sequence, first row, number, buffer (vector index)."""

    sequence: int
    first: int
    rows: int
    buffer: int


def emit_sampling(builder: Builder, plan: SamplingPlan) -> None:
    """Sample every row and, unless greedy, transfer; raises WorkloadError where the plan has too little room.

    Needs 6 free gp registers (edge: 8). Leaves the sticky state as the builder knows it.
    """
    plan.check()
    _Sampling(builder, plan).run()


class _Sampling:
    """One emission. Bank 0 is started whenever no row is in flight."""

    def __init__(self, builder: Builder, plan: SamplingPlan) -> None:
        self.builder, self.plan, self.emit = builder, plan, builder.emit
        self.work = RowWork(builder, plan)

    def run(self) -> None:
        """Emit the whole phase."""
        make_minus_infinity(self.builder, self.plan.scalars[4])
        if self.plan.variant.top_p < 1:
            emit_zeros(self.builder, self.plan)
        self.work.start(self._bank(0, odd=False))
        if self.plan.mode == "spill":
            self._spill()
            return
        for sequence in range(self.plan.sequences):
            if self.plan.gap_rows:
                self._gaps(sequence)
            if self.plan.mode == "onchip":
                self._onchip(sequence)
            elif self.plan.mode == "rows":
                self._single_rows(sequence)
            else:
                self._edge(sequence)
            self._close(sequence)

    def _spill(self) -> None:
        plan = self.plan
        groups = self._groups()
        ahead = len({group.buffer for group in groups}) - 1
        for group in groups[:ahead]:
            self._load(group)
        for index, group in enumerate(groups):
            for later in groups[index + ahead : index + ahead + 1]:
                self._load(later)
            self._cover(plan.chunks, 1, last=True)
            place = group.buffer * plan.vlen
            self._rows(group.sequence, group.first, group.rows, place, plan.chunks * plan.vlen, self.work.whole_row)
            if group.first + group.rows == plan.rows:
                self._close(group.sequence)

    def _groups(self) -> list[_Group]:
        plan = self.plan
        size = plan.group_rows * plan.chunks
        places = [plan.buffer + size * i for i in range(plan.buffer_vectors // size)]
        starts = [(s, first) for s in range(plan.sequences) for first in range(0, plan.rows, plan.group_rows)]
        return [
            _Group(sequence, first, min(plan.group_rows, plan.rows - first), places[index % len(places)])
            for index, (sequence, first) in enumerate(starts)
        ]

    def _load(self, group: _Group) -> None:
        """One transfer of as many pieces as chunks, each of `rows` vectors, to [row][chunk] on chip."""
        plan, builder = self.plan, self.builder
        strided = group.rows < plan.rows
        builder.h_rows(plan.chunks, group.rows * plan.vlen, 0)
        if strided:
            builder.stride(plan.rows * plan.vlen)
        target = builder.const(group.buffer * plan.vlen)
        source = builder.const(plan.offset(group.sequence, group.first))
        self.emit("H_PREFETCH_V", target, source, plan.hbm, int(strided), plan.precision)

    def _onchip(self, sequence: int) -> None:
        plan = self.plan
        self._cover(plan.chunks, plan.sequences * plan.rows, last=True)
        place = (plan.buffer + sequence * plan.rows) * plan.vlen
        self._rows(sequence, 0, plan.rows, place, plan.vlen, self.work.whole_row)

    def _single_rows(self, sequence: int) -> None:
        plan = self.plan
        start = plan.offset(sequence, 0)
        with self.builder.reg(start) as first:
            self._load_row(first, 0)
        self._rows(sequence, 0, plan.rows, start, plan.vlen, self._loaded_row)

    def _gaps(self, sequence: int) -> None:
        """Distance of the two largest logits of the first rows, to FP_MEM behind the confidences of all pairs."""
        plan, builder, emit = self.plan, self.builder, self.emit
        maximum, nearest = plan.scalars[2:4]
        with (
            builder.reg(plan.offset(sequence, 0)) as row,
            builder.reg(plan.fp_base + plan.rows + 1) as words,
            builder.reg() as token,
            builder.loop(plan.gap_rows),
        ):
            self._load_row(row, 0)
            self._cover(plan.chunks, 1, last=True)
            for scalar in (maximum, nearest):
                emit("S_ADD_FP", scalar, plan.scalars[4], 0)
            with builder.reg(plan.buffer * plan.vlen) as address:
                emit("V_RED_MAX_IDX", token, address, 0, maximum)
                emit("V_SUB_VF", address, address, maximum)
                emit_distances(builder, address, address)
                emit("V_RED_MAX", nearest, address)
            emit("S_RECI_FP", nearest, nearest)
            emit("S_ST_FP", nearest, words)
            builder.add(words, 1)
            builder.add(row, plan.vlen)

    def _load_row(self, offset: int, buffer: int) -> None:
        """One row's chunks, to buffer 0 or 1."""
        plan, builder = self.plan, self.builder
        builder.h_rows(plan.chunks, plan.vlen, 0)
        builder.stride(plan.rows * plan.vlen)
        target = builder.const((plan.buffer + buffer * plan.chunks) * plan.vlen)
        self.emit("H_PREFETCH_V", target, offset, plan.hbm, 1, plan.precision)
        if plan.previous >= 0:
            target = builder.const((plan.buffer + (2 + buffer) * plan.chunks) * plan.vlen)
            self.emit("H_PREFETCH_V", target, offset, plan.previous, 1, plan.precision)

    def _loaded_row(self, bank: Bank, row: int) -> None:
        """`row` holds the HBM offset of a row that is loaded; load the next one, then work on this one."""
        plan, builder = self.plan, self.builder
        buffer = bank.index
        with builder.reg() as following:
            self.emit("S_ADDI_INT", following, row, 0)
            builder.add(following, plan.vlen)
            self._load_row(following, 1 - buffer)
        self._cover(plan.chunks, 1, last=True)
        with builder.reg((plan.buffer + buffer * plan.chunks) * plan.vlen) as address:
            self.work.whole_row(bank, address)

    def _edge(self, sequence: int) -> None:
        plan = self.plan
        self._rows(sequence, 0, plan.rows, plan.offset(sequence, 0), plan.vlen, self._row_in_parts)

    def _close(self, sequence: int) -> None:
        if self.plan.score == LIKELIHOOD:
            emit_likelihood(self.builder, self.plan, sequence)
            return
        if self.plan.greedy:
            return
        emit_transfer(self.builder, self.plan, sequence)
        if self.plan.variant.select != "top-k":  # which overwrites the bank that has been started
            self.work.start(self._bank(0, odd=False))

    def _cover(self, chunks: int, pitch: int, *, last: bool) -> None:
        """Vector instructions cover `chunks` vectors; a row's last chunk has only so many valid lanes."""
        self.builder.v_rows(chunks, pitch, pitch)
        lanes = self.plan.last_lanes if last else 0
        self.builder.v_lanes(lanes, last_row_only=lanes > 0)

    def _rows(
        self, sequence: int, first: int, rows: int, place: int, pitch: int, work: Callable[[Bank, int], None]
    ) -> None:
        """`rows` rows, banks in turn; the register that `work` gets starts at `place` and moves on by `pitch`."""
        builder, plan = self.builder, self.plan
        self.work.sequence = sequence
        with ExitStack() as stack:
            row = stack.enter_context(builder.reg(place))
            words = stack.enter_context(builder.reg(plan.fp_base + first))
            tokens = stack.enter_context(builder.reg(plan.x0 + sequence * plan.rows + first))
            even = self._bank(stack.enter_context(builder.reg()), odd=False)
            odd = self._bank(stack.enter_context(builder.reg()), odd=True)
            if rows > 1 or plan.pairs is not None:
                with builder.loop_of(rows // 2 if plan.pairs is None else plan.pairs):
                    work(even, row)
                    builder.add(row, pitch)
                    self._next_bank(odd, even, words, tokens)
                    if odd.maximum != even.maximum:
                        self.work.start(even)
                    work(odd, row)
                    builder.add(row, pitch)
                    self.work.finish(odd, words, tokens, 1)
                    if odd.maximum == even.maximum:
                        self.work.start(even)
                    self.emit("S_ADDI_INT", words, words, 2)
                    self.emit("S_ADDI_INT", tokens, tokens, 2)
            if rows % 2 and plan.pairs is None:
                work(even, row)
                self.work.finish(even, words, tokens, 0)
                self.work.start(even)

    def _bank(self, token: int, *, odd: bool) -> Bank:
        scalars = self.plan.scalars
        # Logarithms take the other registers, as do draws.
        first = 0 if self.plan.drawn or self.plan.score in ("entropy", LIKELIHOOD, STABILITY) else 2 * odd
        weighted = scalars[5 + odd] if self.plan.copied or self.plan.score == LIKELIHOOD else 0
        return Bank(int(odd), token, scalars[first], scalars[first + 1], weighted)

    def _next_bank(self, odd: Bank, even: Bank, words: int, tokens: int) -> None:
        """Start on the odd row and finish the even one, in that order unless they share registers."""
        if odd.maximum != even.maximum:
            self.work.start(odd)
        self.work.finish(even, words, tokens, 0)
        if odd.maximum == even.maximum:
            self.work.start(odd)

    def _row_in_parts(self, bank: Bank, row: int) -> None:
        """Edge mode: `row` holds the row's HBM offset; its chunks come in parts, for the maximum first."""
        plan, builder = self.plan, self.builder
        part = plan.part
        for reduce in ("max", "sum") if plan.summed else ("max",):
            with builder.reg() as offset:
                self.emit("S_ADDI_INT", offset, row, 0)
                for index, start in enumerate(range(0, plan.chunks, part)):
                    chunks = min(part, plan.chunks - start)
                    builder.h_rows(chunks, 0, 0)
                    builder.stride(plan.rows * plan.vlen)
                    with builder.reg((plan.buffer + index % 2 * part) * plan.vlen) as address:
                        self.emit("H_PREFETCH_V", address, offset, plan.hbm, 1, plan.precision)
                        self._cover(chunks, 1, last=start + chunks == plan.chunks)
                        if reduce == "max":
                            base = builder.const(start * plan.vlen)
                            self.emit("V_RED_MAX_IDX", bank.token, address, base, bank.maximum)
                        else:
                            self.emit("V_SUB_VF", address, address, bank.maximum)
                            self.work.sum(bank, address)
                    builder.add(offset, chunks * plan.rows * plan.vlen)
