"""Attention of one layer: projections by head group, with the attention of earlier groups in between.

The tensor core works in order, and so does the vector unit; what matters is that each of them has
something to do while it waits for the other. A group's scores come after its value projection, its
softmax runs under the next group's projections. Only the last group's scores come before its value
projection, which then covers its softmax.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from workloads.lowering.attention import rows as row_work
from workloads.lowering.attention.key_blocks import choose_blocks
from workloads.lowering.attention.kvload import Item, KvLoader
from workloads.lowering.attention.pieces import attend_by_pieces
from workloads.lowering.emit.builder import Count
from workloads.lowering.emit.context import Context
from workloads.lowering.plan.dims import ceil_div

Store = Callable[[Context, int, bool, int], None]
"""Stores a head group's rows: their first vector, whether they are values, their KV group."""


def project_kv(c: Context, group: int, *, value: bool, store: Store = row_work.store_kv) -> None:
    """Keys (or values) of a head group of all rows, and what `store` does with them; by default, to the cache."""
    v = c.vectors
    kv_group = c.dims.kv_group(group)
    target = v.value if value else v.key
    c.phase("qkv")
    c.stream.gemm(f"{'v' if value else 'k'}{group}", c.activations(v.normed), target)
    row_work.add_bias(c, target, kv_group + value * c.dims.kv.blocks)
    if not value:
        row_work.normalize_heads(c, target, key=True)
        c.phase("rope")
        row_work.rotate(c, target)
    c.phase("kv_store")
    store(c, target, value, kv_group)


def project_q(c: Context, group: int, *, folded: bool = True) -> None:
    """Queries of a head group of all rows; `folded`: times the channel scales of the cached keys."""
    v = c.vectors
    target = v.query + group * v.rows
    c.phase("qkv")
    c.stream.gemm(f"q{group}", c.activations(v.normed), target)
    row_work.add_bias(c, target, 2 * c.dims.kv.blocks + group)
    row_work.normalize_heads(c, target, key=False)
    c.phase("rope")
    row_work.rotate(c, target)
    if folded:
        row_work.fold(c, target, group, value=False)


@attrs.frozen
class Unit:
    """A query tile: `rows` rows of a sequence from `first`, for one group of heads; scores in place `index`."""

    group: int
    sequence: int
    first: int
    rows: int
    index: int
    """Number of the unit among those that share the place for scores."""


@attrs.frozen
class Work:
    """One step of a group's attention: the scores (and softmax) of a unit, or its output."""

    output: bool
    unit: Unit


def attention(c: Context) -> None:
    """Everything from normalised rows to the rows that the output projection takes."""
    if c.vectors.pieces is not None:
        _Attention(c, together=False).project()
        attend_by_pieces(c)
        return
    _Attention(c, together=False).run()


def cached_attention(c: Context) -> None:
    """Attention of queries that are in place, to keys and values that are all in HBM."""
    if c.vectors.pieces is not None:
        attend_by_pieces(c)
        return
    _Attention(c, together=True).run_cached()


class _Attention:
    """One layer's attention while it is emitted; `together`: all head groups in one sequence of steps."""

    def __init__(self, context: Context, *, together: bool) -> None:
        self.c = context
        self.groups = range(context.dims.q.blocks)
        batches = [self._units(group) for group in self.groups]
        if together:
            batches = [[unit for batch in batches for unit in batch]]
        batches = [[attrs.evolve(unit, index=i) for i, unit in enumerate(batch)] for batch in batches]
        self.early = [self._early(batch) for batch in batches]
        self.late = [self._late(batch) for batch in batches]
        self.loader = KvLoader(context, self._items())

    def run_cached(self) -> None:
        """Emit attention alone."""
        for group in range(self.c.dims.kv.blocks):
            self.loader.stored(value=False, kv_group=group)
            self.loader.stored(value=True, kv_group=group)
        self._work(self.early[0] + self.late[0])

    def project(self) -> None:
        """Emit the projections alone."""
        self.loader = KvLoader(self.c, [])
        for group in self.groups:
            fresh = self._fresh(group)
            if fresh:
                self._project_kv(group, value=False)
            project_q(self.c, group)
            if fresh:
                self._project_kv(group, value=True)

    def run(self) -> None:
        """Emit it, in the order described above."""
        last = self.groups[-1]
        for group in self.groups:
            fresh = self._fresh(group)
            if fresh:
                self._project_kv(group, value=False)
            project_q(self.c, group)
            if group:
                self._work(self.late[group - 1])
            if group == last:
                self._work(self.early[group])
            if fresh:
                self._project_kv(group, value=True)
            self._work(self.late[group] if group == last else self.early[group])

    def _fresh(self, group: int) -> bool:
        return group == 0 or self.c.dims.kv_group(group) != self.c.dims.kv_group(group - 1)

    def _units(self, group: int) -> list[Unit]:
        c = self.c
        blen, rows = c.dims.view.blen, c.kind.q_rows
        places = [(s, first) for s in range(c.vectors.sequences) for first in range(0, rows, blen)]
        return [Unit(group, s, first, min(blen, rows - first), 0) for s, first in places]

    def _early(self, units: list[Unit]) -> list[Work]:
        """Scores of as many units as there is room for."""
        return [Work(output=False, unit=unit) for unit in units[: self.c.vectors.score_units]]

    def _late(self, units: list[Unit]) -> list[Work]:
        """All outputs; each makes room for the scores of a unit that had none."""
        room = self.c.vectors.score_units
        steps: list[Work] = []
        for index, unit in enumerate(units):
            steps.append(Work(output=True, unit=unit))
            steps += [Work(output=False, unit=later) for later in units[index + room : index + room + 1]]
        return steps

    def _items(self) -> list[Item]:
        """Key and value tiles in the order in which they are first used."""
        order: dict[Item, None] = {}
        for early, late in zip(self.early, self.late, strict=True):
            for work in early + late:
                order.setdefault(self._item(work))
        return list(order)

    def _item(self, work: Work) -> Item:
        unit = work.unit.first if self.c.kind.key_block else 0
        return Item(work.output, work.unit.sequence, work.unit.group, unit)

    def _project_kv(self, group: int, *, value: bool) -> None:
        project_kv(self.c, group, value=value)
        self.loader.stored(value=value, kv_group=self.c.dims.kv_group(group))

    def _work(self, steps: list[Work]) -> None:
        if steps:
            self.c.phase("attention")
        for step in steps:
            (self._output if step.output else self._scores)(step)
            item = self._item(step)
            if self.c.kind.key_block or step.unit.first + step.unit.rows == self.c.kind.q_rows:
                self.loader.used(item)

    def _query(self, unit: Unit) -> int:
        v = self.c.vectors
        return v.query + unit.group * v.rows + unit.sequence * self.c.kind.q_rows + unit.first

    def _place(self, unit: Unit) -> tuple[int, int]:
        """Vectors of the unit's scores and of its statistics."""
        v = self.c.vectors
        index = unit.index % v.score_units
        return v.scores + index * v.unit_vectors, v.unit_statistics + 2 * index

    def _key_tiles(self, unit: Unit) -> int:
        """Key tiles that the unit attends to."""
        c = self.c
        end = c.first_row + unit.first + unit.rows
        return ceil_div(end, c.dims.view.hlen) if c.kind.causal else c.kind.key_tiles

    def _count(self, unit: Unit) -> Count:
        """Rows that the unit has in a forward."""
        return self.c.part(unit.first, self.c.dims.view.blen, self.c.kind.q_rows)

    def _set_tiles(self, unit: Unit, tiles: int) -> None:
        b, dims = self.c.b, self.c.dims
        b.m_rows(self._count(unit))
        b.m_tiles(tiles, unit.rows)
        b.m_group(dims.q_per_kv, dims.first_query(unit.group))

    def _scores(self, work: Work) -> None:
        """Scores of all key tiles, [key tile][row], then their exponentials and row sums."""
        c, b, unit = self.c, self.c.b, work.unit
        scores, statistics = self._place(unit)
        item, tiles = self._item(work), self._key_tiles(unit)
        for further in (*[True] * c.kind.score_passes, False):
            self._set_tiles(unit, 1)
            for tile in range(tiles):
                b.emit("M_BTMM", b.const(self.loader.tile_cell(item, tile)), c.v(self._query(unit)))
                b.emit("M_BMM_WO", c.v(scores + tile * unit.rows), 0)
            self._softmax(unit, tiles)
            if further:
                choose_blocks(c, scores, statistics, unit.rows, tiles)

    def _softmax(self, unit: Unit, tiles: int) -> None:
        c, b = self.c, self.c.b
        scores, statistics = self._place(unit)
        count = self._count(unit)
        self._mask(unit, tiles, scores)
        b.v_rows(count)
        b.v_seg(c.dims.view.hlen)
        for tile in range(tiles):
            b.emit("V_RED_MAX_SEG", c.v(statistics), c.v(scores + tile * unit.rows), int(tile > 0))
        for tile in range(tiles):
            part = c.v(scores + tile * unit.rows)
            b.emit("V_SUB_SEG", part, part, c.v(statistics))
        if isinstance(count, int):
            b.v_rows(tiles * unit.rows)
            b.emit("V_EXP_V", c.v(scores), c.v(scores))
            b.v_rows(unit.rows)
        else:
            for tile in range(tiles):
                b.emit("V_EXP_V", *2 * (c.v(scores + tile * unit.rows),))
        for tile in range(tiles):
            b.emit("V_RED_SUM_SEG", c.v(statistics + 1), c.v(scores + tile * unit.rows), int(tile > 0))
        b.v_rows(1)
        b.emit("V_RECI_V", c.v(statistics + 1), c.v(statistics + 1))

    def _mask(self, unit: Unit, tiles: int, scores: int) -> None:
        """Add minus infinity where a key tile holds no key, or one that the row may not see."""
        c, b, hlen = self.c, self.c.b, self.c.dims.view.hlen
        part = scores + (tiles - 1) * unit.rows
        own = c.kind.own_tiles(hlen)
        if own:
            b.v_rows(self._count(unit))
            for tile in range(own):
                part = scores + (tiles - own + tile) * unit.rows
                mask = c.vectors.key_mask + tile * c.kind.q_rows + unit.first
                b.emit("V_ADD_VV", c.v(part), c.v(part), c.v(mask))
        elif c.kind.causal:
            b.v_rows(self._count(unit))
            mask = c.vectors.key_mask + c.first_row + unit.first - (tiles - 1) * hlen
            b.emit("V_ADD_VV", c.v(part), c.v(part), c.v(mask))
        elif c.kind.masked:
            b.v_rows(self._count(unit), 1, 0)
            b.emit("V_ADD_VV", c.v(part), c.v(part), c.v(c.vectors.key_mask))

    def _output(self, work: Work) -> None:
        """Weighted values over the row sums; they take the place of the unit's queries."""
        c, b, unit = self.c, self.c.b, work.unit
        scores, statistics = self._place(unit)
        target, tiles = self._query(unit), self._key_tiles(unit)
        self._set_tiles(unit, tiles)
        b.emit("M_BMM", b.const(self.loader.cell(self._item(work))), c.v(scores))
        b.emit("M_BMM_WO", c.v(target), 0)
        b.v_rows(self._count(unit))
        b.v_seg(c.dims.view.hlen)
        b.emit("V_MUL_SEG", c.v(target), c.v(target), c.v(statistics + 1))
        row_work.fold_unit(c, target, self._count(unit), unit.sequence, unit.group, value=True)
