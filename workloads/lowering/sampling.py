"""The sampling phase of a forward: token and confidence of every block row, then the transfer.

Stable-Max (d-PLENA, arXiv 2601.20706): conf = softmax at the maximum = 1 / sum(exp(x - max)), so the
probabilities are never built. One vector instruction covers all vocabulary chunks of a row. Two
banks of registers alternate between rows: while the vector unit works on one row, the scalar unit
finishes the row before and starts the row after. After a sequence's last row the k most confident
masked positions take their token.

Modes, by where the logits are:
    spill   in HBM [sequence][chunk][row][VLEN] as MXFP8; groups of rows are loaded ahead into two or
            more buffers, on chip [row][chunk]
    onchip  in Vector SRAM [chunk][row of all sequences] already
    edge    in HBM as for spill, but not even one row fits twice: each row's chunks are loaded in
            groups, once for the maximum and once more for the sum
The single-pass form that follows the LM head chunk by chunk is `sampling_online`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import attrs

from workloads.lowering.builder import Builder
from workloads.lowering.sampling_plan import SamplingPlan

MXFP8 = 3
"""Precision operand of the logits' transfers."""


@attrs.frozen
class Bank:
    """Registers of one row in flight: gp of the token, f registers of maximum and sum."""

    token: int
    maximum: int
    total: int


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
    builder.v_rows(1)
    builder.v_lanes(0)
    with builder.reg((plan.masks + sequence) * plan.vlen) as mask, builder.reg() as x:
        emit("S_MAP_V_FP", const(confidence), const(plan.fp_base), 0, const(plan.rows))
        emit("V_TOPK_MASK", const(transfer), const(confidence), mask, plan.k_register, const(plan.rows))
        emit("S_ADD_INT", x, plan.x_register, const(sequence * plan.x_pitch))
        emit("S_SELECT_INT", const(tokens), const(tokens), x, mask, const(plan.rows))
        emit("S_SELECT_INT", x, const(tokens), x, const(transfer), const(plan.rows))
        emit("V_SUB_VV", mask, mask, const(transfer))


def make_minus_infinity(builder: Builder, scalar: int) -> None:
    """Put -inf into an f register: 0 - 1/0."""
    builder.emit("S_RECI_FP", scalar, 0)
    builder.emit("S_SUB_FP", scalar, 0, scalar)


class _Sampling:
    """One emission. Bank 0 is started whenever no row is in flight."""

    def __init__(self, builder: Builder, plan: SamplingPlan) -> None:
        self.builder, self.plan, self.emit = builder, plan, builder.emit
        self.minus_infinity = plan.scalars[4]

    def run(self) -> None:
        """Emit the whole phase."""
        make_minus_infinity(self.builder, self.minus_infinity)
        self._start(Bank(0, *self.plan.scalars[:2]))
        if self.plan.mode == "spill":
            self._spill()
            return
        for sequence in range(self.plan.sequences):
            if self.plan.mode == "onchip":
                self._onchip(sequence)
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
            self._rows(group.sequence, group.first, group.rows, place, plan.chunks * plan.vlen, self._whole_row)
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
        self.emit("H_PREFETCH_V", target, source, plan.hbm, int(strided), MXFP8)

    def _onchip(self, sequence: int) -> None:
        plan = self.plan
        self._cover(plan.chunks, plan.sequences * plan.rows, last=True)
        self._rows(sequence, 0, plan.rows, (plan.buffer + sequence * plan.rows) * plan.vlen, plan.vlen, self._whole_row)

    def _edge(self, sequence: int) -> None:
        plan = self.plan
        self._rows(sequence, 0, plan.rows, plan.offset(sequence, 0), plan.vlen, self._row_in_parts)

    def _close(self, sequence: int) -> None:
        if not self.plan.greedy:
            emit_transfer(self.builder, self.plan, sequence)

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
        with ExitStack() as stack:
            row = stack.enter_context(builder.reg(place))
            words = stack.enter_context(builder.reg(plan.fp_base + first))
            tokens = stack.enter_context(builder.reg(plan.x0 + sequence * plan.rows + first))
            even = Bank(stack.enter_context(builder.reg()), *plan.scalars[:2])
            odd = Bank(stack.enter_context(builder.reg()), *plan.scalars[2:4])
            if rows > 1:
                with builder.loop(rows // 2):
                    work(even, row)
                    builder.add(row, pitch)
                    self._start(odd)
                    self._finish(even, words, tokens, 0)
                    self._start(even)
                    work(odd, row)
                    builder.add(row, pitch)
                    self._finish(odd, words, tokens, 1)
                    self.emit("S_ADDI_INT", words, words, 2)
                    self.emit("S_ADDI_INT", tokens, tokens, 2)
            if rows % 2:
                work(even, row)
                self._finish(even, words, tokens, 0)
                self._start(even)

    def _start(self, bank: Bank) -> None:
        self.emit("S_ADD_FP", bank.maximum, self.minus_infinity, 0)
        if not self.plan.greedy:
            self.emit("S_ADD_FP", bank.total, 0, 0)

    def _finish(self, bank: Bank, words: int, tokens: int, index: int) -> None:
        if not self.plan.greedy:
            self.emit("S_RECI_FP", bank.total, bank.total)
            self.emit("S_ST_FP", bank.total, words, index)
        self.emit("S_ST_INT", bank.token, tokens, index)

    def _whole_row(self, bank: Bank, row: int) -> None:
        self.emit("V_RED_MAX_IDX", bank.token, row, 0, bank.maximum)
        if not self.plan.greedy:
            self._sum(bank, row)

    def _sum(self, bank: Bank, address: int) -> None:
        self.emit("V_SUB_VF", address, address, bank.maximum)
        self.emit("V_EXP_V", address, address)
        self.emit("V_RED_SUM", bank.total, address)

    def _row_in_parts(self, bank: Bank, row: int) -> None:
        """Edge mode: `row` holds the row's HBM offset; its chunks come in parts, for the maximum first."""
        plan, builder = self.plan, self.builder
        part = plan.buffer_vectors // 2
        for reduce in ("max",) if plan.greedy else ("max", "sum"):
            with builder.reg() as offset:
                self.emit("S_ADDI_INT", offset, row, 0)
                for index, start in enumerate(range(0, plan.chunks, part)):
                    chunks = min(part, plan.chunks - start)
                    builder.h_rows(chunks, 0, 0)
                    builder.stride(plan.rows * plan.vlen)
                    with builder.reg((plan.buffer + index % 2 * part) * plan.vlen) as address:
                        self.emit("H_PREFETCH_V", address, offset, plan.hbm, 1, MXFP8)
                        self._cover(chunks, 1, last=start + chunks == plan.chunks)
                        if reduce == "max":
                            base = builder.const(start * plan.vlen)
                            self.emit("V_RED_MAX_IDX", bank.token, address, base, bank.maximum)
                        else:
                            self._sum(bank, address)
                    builder.add(offset, chunks * plan.rows * plan.vlen)
