"""Layers whose operators take different rows: what they leave out keeps the outputs of an earlier forward.

The residual of all rows stays in Vector SRAM. A layer copies the rows that an operator takes to a place of
their own, and the results back. Outputs of attention and of the MLP are kept in HBM by layer: those of the
rows that are computed are stored, those of all others loaded and added. Which rows are sent is decided in
every layer by how similar their values (or queries) are to those before, which therefore come first; see
`Dims.leading`. The rows chosen are made up, their number is not.

Kept elements of a layer: outputs of attention, then of the MLP [column block][position][lane], then
queries [group][position][lane] where those are compared.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from workloads.forwards import OperatorRows
from workloads.lowering.attention import rows as row_work
from workloads.lowering.attention.layer import cached_attention, project_kv, project_q
from workloads.lowering.emit.context import Context, Listed
from workloads.lowering.emit.places import A_KEPT, Cell
from workloads.lowering.layers import norms
from workloads.lowering.layers.ffn import feed_forward, output_projection
from workloads.lowering.layers.similarity import compare, load_values, select_rows, swap_queries
from workloads.lowering.plan.operators import OperatorPlan, all_rows, kept_elements, plan_operators
from workloads.lowering.plan.vectors import VectorPlan

ATTENTION, FEEDFORWARD = 0, 1
"""Parts of what is kept of a layer."""


def emit_bodies(c: Context) -> tuple[Callable[[], None], Callable[[], None]]:
    """What emits the first layer, which computes all rows and keeps nothing, and what emits any other."""
    count, listed = c.kind.q_rows, c.positions_list
    rest = c.kind.operators or all_rows(count)
    return (
        lambda: _Layer(c, all_rows(count), listed, keeps=False).emit(),
        lambda: _Layer(c, rest, listed, keeps=True).emit(),
    )


class _Layer:
    """One layer while it is emitted."""

    def __init__(self, c: Context, rows: OperatorRows, listed: int, *, keeps: bool) -> None:
        self.c, self.rows, self.listed, self.keeps = c, rows, listed, keeps
        self.plan: OperatorPlan = plan_operators(c.dims, c.kind, c.vectors, rows)
        self.wide = self._subset(self.plan.wide, c.kind.q_rows - self.plan.wide.rows, listed=False)
        self.keys = self._subset(self.plan.keys, 0, listed=True)
        self.queries = self._subset(self.plan.queries, 0, listed=True)

    def _subset(self, vectors: VectorPlan, start: int, *, listed: bool) -> Context:
        c = self.c
        if vectors is c.vectors:
            return c
        where = Listed(positions=self.listed, tokens=0, pitch=0) if listed else None
        kind = attrs.evolve(c.kind, q_rows=vectors.rows, rows_vary=False)
        return attrs.evolve(c, kind=kind, vectors=vectors, listed=where, write_row=start, partial=True)

    def emit(self) -> None:
        """Emit it."""
        c, rows, left = self.c, self.rows, self.c.kind.q_rows - self.rows.attention
        c.stream.begin(c.layer_plan)
        if left:
            self._load_kept(ATTENTION, left)
        self._lead()
        self._project()
        cached_attention(self.queries)
        output_projection(self.queries, keep=self._keep(ATTENTION))
        self._add_kept(left)
        if rows.feedforward < c.kind.q_rows:
            self._load_kept(FEEDFORWARD, left)
            feed_forward(self.queries, keep=self._keep(FEEDFORWARD))
            self._add_kept(left)
            self._return_rows()
        else:
            if left:
                self._return_rows()
                norms.norm(c, c.activations(c.vectors.x), c.vectors.normed)
            feed_forward(c, keep=self._keep(FEEDFORWARD) if c.dims.leading == "v" else None)
        c.stream.end()
        if self.keeps:
            with c.b.reg() as offset:
                c.b.load(offset, Cell.KEPT)
                c.b.add(offset, kept_elements(c.dims, c.positions))
                c.b.store(offset, Cell.KEPT)

    def _fresh(self) -> list[int]:
        """The first head group of every KV group."""
        dims = self.c.dims
        return [g for g in range(dims.q.blocks) if g == 0 or dims.kv_group(g) != dims.kv_group(g - 1)]

    def _lead(self) -> None:
        """The projections that come first, and which rows the others take."""
        c, wide, dims = self.c, self.wide, self.c.dims
        compared = self.keeps and self.rows.compared != ""
        if wide is not c:
            self._take_run()
        wide.phase("norm")
        norms.norm(wide, wide.activations(wide.vectors.x), wide.vectors.normed)
        values = dims.leading == "v"
        for number, group in enumerate(self._fresh() if values else range(dims.q.blocks)):
            if values:
                if compared:
                    load_values(wide, self.plan, dims.kv_group(group))
                project_kv(wide, group, value=True)
                fresh, width = wide.vectors.value, dims.kv.width
            else:
                project_q(wide, group, folded=False)
                fresh, width = wide.vectors.query + group * wide.vectors.rows, dims.q.width
                if self.keeps:
                    swap_queries(wide, self.plan, group)
            if compared:
                compare(wide, self.plan, fresh, width, first=number == 0)
        if compared:
            counts = tuple(dict.fromkeys((self.rows.key, self.rows.attention)))
            select_rows(wide, self.plan, counts)

    def _project(self) -> None:
        """What is left of the projections: keys, and values or queries."""
        c, keys, queries = self.c, self.keys, self.queries
        values_first = c.dims.leading == "v"
        if keys is not c:
            self._take(keys, rope=True)
            keys.phase("norm")
            norms.norm(keys, keys.activations(keys.vectors.x), keys.vectors.normed)
        fresh = self._fresh()
        for group in range(c.dims.q.blocks):
            if group in fresh:
                project_kv(keys, group, value=False)
                if not values_first:
                    project_kv(keys, group, value=True)
            if values_first:
                project_q(keys, group)
        if values_first:
            return
        if queries is not c:
            self._take(queries, rope=False)
        for group in range(c.dims.q.blocks):
            target = queries.vectors.query + group * queries.vectors.rows
            row_work.fold(queries, target, group, value=False)

    # -- rows to a place of their own, and back

    def _pairs(self, s: Context, *, rope: bool) -> list[tuple[int, int]]:
        """Vectors of row 0 of all rows and of the subset, for everything that is copied."""
        v, own, dims = self.c.vectors, s.vectors, self.c.dims
        pairs = [(v.x + block * v.rows, own.x + block * own.rows) for block in range(dims.hidden.blocks)]
        if rope:
            return [*pairs, (v.cosines, own.cosines), (v.sines, own.sines)]
        if dims.leading == "q":
            pairs += [(v.query + group * v.rows, own.query + group * own.rows) for group in range(dims.q.blocks)]
        return pairs

    def _take_run(self) -> None:
        """The rows of the first projection, which are the last ones."""
        wide, b = self.wide, self.c.b
        wide.phase("norm")
        b.v_rows(wide.kind.q_rows)
        for source, target in self._pairs(wide, rope=False)[: self.c.dims.hidden.blocks]:
            b.emit("V_ADD_VF", wide.v(target), wide.v(source + wide.write_row), 0)

    def _take(self, s: Context, *, rope: bool) -> None:
        s.phase("select")
        self._copy(s, self._pairs(s, rope=rope))

    def _return_rows(self) -> None:
        """The residual of the computed rows, to that of all rows."""
        s = self.queries
        if s is self.c:
            return
        s.phase("select")
        blocks = self.c.dims.hidden.blocks
        self._copy(s, [(own, whole) for whole, own in self._pairs(s, rope=False)[:blocks]], back=True)

    def _copy(self, s: Context, pairs: list[tuple[int, int]], *, back: bool = False) -> None:
        b, vlen = self.c.b, self.c.dims.view.vlen
        run = min(self.c.kind.run, s.kind.q_rows)
        loose = s.kind.q_rows - run
        if loose:
            b.v_rows(1)
            with (
                b.reg(self.listed) as place, b.reg(0) as row, b.reg() as position, b.reg() as source,
                b.reg() as target, b.loop(loose),
            ):  # fmt: skip
                b.emit("S_LD_INT", position, place, 0)
                b.emit("S_MUL_INT", position, position, b.const(vlen))
                for start, end in pairs:
                    b.emit("S_ADD_INT", source, row if back else position, b.const(start * vlen))
                    b.emit("S_ADD_INT", target, position if back else row, b.const(end * vlen))
                    b.emit("V_ADD_VF", target, source, 0)
                b.add(place, 1)
                b.add(row, vlen)
        if run:
            b.v_rows(run)
            whole, own = self.c.kind.run_start, loose
            for start, end in pairs:
                first, last = (start + own, end + whole) if back else (start + whole, end + own)
                b.emit("V_ADD_VF", s.v(last), s.v(first), 0)

    # -- outputs kept in HBM

    def _kept_at(self, part: int, block: int) -> int:
        """Element offset of row 0 of a column block, in what is kept of the layer."""
        c = self.c
        return (part * c.dims.hidden.blocks + block) * c.positions * c.dims.view.vlen

    def _load_kept(self, part: int, left: int) -> None:
        """The outputs of the rows that are left out, as one run."""
        c, b = self.c, self.c.b
        c.phase("reuse")
        b.h_rows(left, c.dims.hidden.width, 0)
        for block in range(c.dims.hidden.blocks):
            with c.offset(Cell.KEPT, self._kept_at(part, block)) as source:
                place = c.v(self.plan.kept + block * c.kind.q_rows)
                b.emit("H_PREFETCH_V", place, source, A_KEPT, 0, c.table_precision)

    def _add_kept(self, left: int) -> None:
        c = self.c
        if not left:
            return
        c.phase("reuse")
        c.b.v_rows(left)
        for block in range(c.dims.hidden.blocks):
            x = c.vectors.x + block * c.vectors.rows
            c.b.emit("V_ADD_VV", c.v(x), c.v(x), c.v(self.plan.kept + block * c.kind.q_rows))

    def _keep(self, part: int) -> Callable[[int, int], None] | None:
        """Stores an operator's output of a column block, given by its first vector."""
        return (lambda block, product: self._store(part, block, product)) if self.keeps else None

    def _store(self, part: int, block: int, product: int) -> None:
        c, b, s, width = self.c, self.c.b, self.queries, self.c.dims.hidden.width
        run = s.kind.q_rows if s is c else min(c.kind.run, s.kind.q_rows)
        loose = s.kind.q_rows - run
        with c.offset(Cell.KEPT, self._kept_at(part, block)) as base:
            if loose:
                b.h_rows(1, width, 0)
                with (
                    b.reg(self.listed) as place, b.reg(product * c.dims.view.vlen) as row, b.reg() as target,
                    b.loop(loose),
                ):  # fmt: skip
                    b.emit("S_LD_INT", target, place, 0)
                    b.emit("S_MUL_INT", target, target, b.const(width))
                    b.emit("S_ADD_INT", target, target, base)
                    b.emit("H_STORE_V", row, target, A_KEPT, 0, c.table_precision)
                    b.add(place, 1)
                    b.add(row, c.dims.view.vlen)
            if run:
                b.h_rows(run, width, 0)
                b.add(base, (0 if s is c else c.kind.run_start) * width)
                b.emit("H_STORE_V", c.v(product + loose), base, A_KEPT, 0, c.table_precision)
