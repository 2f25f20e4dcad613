"""A layer's experts: router, shared experts, and then one routed expert after another.

Which rows an expert takes stands in a list in INT_MEM (see `routing`). The program computes the router's
choice, and fetches no routed expert before it is made; but it does not turn the choice into that list.
"""

from __future__ import annotations

from workloads.lowering.emit.builder import Word
from workloads.lowering.emit.context import Context, Mixture
from workloads.lowering.emit.places import F_ONE, Cell
from workloads.lowering.emit.weights import GEMM_REGISTERS, Rows
from workloads.lowering.layers import norms
from workloads.lowering.layers.ffn import activate, shared_experts
from workloads.lowering.layers.parallel import answered, ask, settle
from workloads.lowering.layers.router import score
from workloads.lowering.plan.ring import Plan
from workloads.lowering.plan.vectors import ExpertArea

_ROWS = Word(Cell.EXPERT_ROWS)


def mixture(c: Context) -> None:
    """x += the outputs of all experts that its rows meet, and the squares that the next norm needs."""
    assert c.dims.mixture is not None
    assert c.vectors.experts is not None
    assert c.mixture is not None
    score(c)
    _share(c, c.vectors.experts.scores + c.vectors.rows - 1)
    _Routed(c, c.mixture, c.vectors.experts).emit()
    c.phase("norm")
    v = c.vectors
    for block in range(c.dims.hidden.blocks):
        norms.add_squares(c, c.activations(v.x), block, v.normed + block * v.rows)


def _share(c: Context, scores: int) -> None:
    """The shared experts, while the vector unit makes the scores; then hold dispatch until these are there."""
    assert c.dims.mixture is not None
    inner = c.dims.mixture.shared
    if inner is None or c.b.spare <= GEMM_REGISTERS:
        settle(c, scores)
        if inner is not None:
            shared_experts(c, inner)
        return
    with c.b.reg() as index:
        ask(c, scores, index)
        shared_experts(c, inner)
        answered(c, index)


class _Routed:
    """The routed experts of a layer while they are emitted."""

    def __init__(self, context: Context, mixture: Mixture, area: ExpertArea) -> None:
        self.c, self.b, self.m, self.area = context, context.b, mixture, area
        self.vlen = context.dims.view.vlen

    def emit(self) -> None:
        """All experts of the list; the last one by itself, as nothing is fetched behind it."""
        self.c.phase("experts")
        self._first_lane()
        self._open_list()
        self.m.stream.fill(self.m.expert_plan)
        with self.b.loop_of(_ROWS):
            self._expert(self.m.expert_plan, last=False)
        self._expert(self.m.last_plan, last=True)

    def _first_lane(self) -> None:
        """A vector of zeros but for its first lane, made of any vector of numbers."""
        c, b = self.c, self.b
        b.v_rows(1)
        b.emit("V_MUL_VF", c.v(self.area.lane), c.v(c.vectors.normed), 0)
        one = b.const(1)
        b.emit("S_MAP_V_FP", c.v(self.area.lane), b.const(F_ONE), 0, one)

    def _open_list(self) -> None:
        """Find the list of this pass; leave the number of experts but one where their rows will be counted."""
        b = self.b
        with b.reg() as pointer, b.reg() as value:
            b.load(value, Cell.ROUTE)
            b.emit("S_LD_INT", pointer, value, 0)
            b.add(value, 1)
            b.store(value, Cell.ROUTE)
            b.emit("S_LD_INT", value, pointer, 0)
            b.store(value, Cell.EXPERT_ROWS)
            b.emit("S_LD_INT", value, pointer, 1)
            b.store(value, Cell.ROWS_AT)
            b.add(pointer, 2)
            b.store(pointer, Cell.ENTRY)
            self._locate(value, pointer, 0, Cell.EXPERT)

    def _locate(self, value: int, entry: int, word: int, cell: int) -> None:
        """Store at which element the matrices of an expert begin."""
        b = self.b
        b.emit("S_LD_INT", value, entry, word)
        b.emit("S_MUL_INT", value, value, b.const(self.m.elements))
        b.store(value, cell)

    def _expert(self, plan: Plan, *, last: bool) -> None:
        self._read_entry(last=last)
        self.c.stream, outer = self.m.stream, self.c.stream
        self.m.stream.begin(plan)
        self._gather()
        self._inner()
        for block in range(self.c.dims.hidden.blocks):
            self.c.stream.gemm(f"down0.{block}", self._rows(self.area.gate), self.area.out)
            self._scatter(block)
        self.m.stream.end()
        self.c.stream = outer
        with self.b.reg() as place, self.b.reg() as count:
            self.b.load(place, Cell.ROWS_AT)
            self.b.load(count, Cell.EXPERT_ROWS)
            self.b.emit("S_ADD_INT", place, place, count)
            self.b.store(place, Cell.ROWS_AT)

    def _read_entry(self, *, last: bool) -> None:
        """The expert's place, lane and number of rows, and the place of the one after it."""
        c, b = self.c, self.b
        with b.reg() as entry, b.reg() as value:
            b.load(entry, Cell.ENTRY)
            b.emit("S_LD_INT", value, entry, 0)
            b.v_rows(1)
            b.emit("V_SHFT_V", c.v(self.area.lane + 1), c.v(self.area.lane), value)
            self._locate(value, entry, 0, Cell.EXPERT)
            b.emit("S_LD_INT", value, entry, 1)
            b.store(value, Cell.EXPERT_ROWS)
            if not last:
                self._locate(value, entry, 2, Cell.NEXT_EXPERT)
            b.add(entry, 2)
            b.store(entry, Cell.ENTRY)
        b.forget()

    def _rows(self, base: int) -> Rows:
        most = self.area.rows
        return Rows(base=base, rows=most, pitch=most, count=_ROWS, last=_ROWS)

    def _gather(self) -> None:
        """Copy the expert's rows together, and sum their scores where all but the expert's lane is 0."""
        c, b, v, area, vlen = self.c, self.b, self.c.vectors, self.area, self.vlen
        b.v_rows(1)
        with (
            b.reg() as place,
            b.reg(area.gathered * vlen) as copy,
            b.reg() as row,
            b.reg() as source,
            b.reg() as target,
        ):
            b.load(place, Cell.ROWS_AT)
            with b.loop_of(_ROWS):
                b.emit("S_LD_INT", row, place, 0)
                for block in range(c.dims.hidden.blocks):
                    b.emit("S_ADD_INT", source, row, b.const((v.normed + block * v.rows) * vlen))
                    b.emit("S_ADD_INT", target, copy, b.const(block * area.rows * vlen))
                    b.emit("V_ADD_VF", target, source, 0)
                b.emit("S_ADD_INT", source, row, b.const(area.scores * vlen))
                b.emit("S_ADD_INT", target, copy, b.const((area.shares - area.gathered) * vlen))
                b.emit("V_MUL_VV", target, source, c.v(area.lane + 1))
                b.add(place, 1)
                b.add(copy, vlen)
        b.v_rows(_ROWS)
        b.v_seg(vlen)
        experts = c.dims.model.experts
        assert experts is not None
        b.v_lanes(experts.count)
        b.emit("V_RED_SUM_SEG", c.v(area.shares + area.rows), c.v(area.shares))
        b.v_lanes(0)

    def _inner(self) -> None:
        """Inner rows, times the rows' scores of the expert."""
        c, b, area = self.c, self.b, self.area
        assert c.dims.mixture is not None
        gathered = self._rows(area.gathered)
        for block in range(c.dims.mixture.expert.blocks):
            gate = area.gate + block * area.rows
            c.stream.gemm(f"gate{block}", gathered, gate)
            activate(c, gate, [(0, _ROWS)])
            c.stream.gemm(f"up{block}", gathered, area.up)
            b.v_rows(_ROWS)
            b.emit("V_MUL_VV", c.v(gate), c.v(gate), c.v(area.up))
            b.v_seg(self.vlen)
            b.emit("V_MUL_SEG", c.v(gate), c.v(gate), c.v(area.shares + area.rows))

    def _scatter(self, block: int) -> None:
        """Add a column block of the outputs to the rows that they are of."""
        b, v, vlen = self.b, self.c.vectors, self.vlen
        b.v_rows(1)
        with b.reg() as place, b.reg(self.area.out * vlen) as source, b.reg() as target:
            b.load(place, Cell.ROWS_AT)
            with b.loop_of(_ROWS):
                b.emit("S_LD_INT", target, place, 0)
                b.add(target, (v.x + block * v.rows) * vlen)
                b.emit("V_ADD_VV", target, target, source)
                b.add(place, 1)
                b.add(source, vlen)
