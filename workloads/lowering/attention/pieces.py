"""Attention to more keys than Matrix SRAM or Vector SRAM holds: a piece of keys after another, with running sums.

For a group of heads, a sequence and some query tiles. Of every piece come scores, their largest so far, exponentials
and weighted values; what was summed before is scaled by the exponential of how much the largest has grown:

    m' = max(m, scores)    l' = l exp(m - m') + sum exp(scores - m')    out' = out exp(m - m') + exp(scores - m') V

and out / l at the end is softmax(scores) V. Keys and values of a piece lie in one of two buffers each; those of the
next piece are fetched while one is worked on.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import attrs

from workloads.lowering.attention import rows as row_work
from workloads.lowering.emit.builder import Count
from workloads.lowering.emit.context import Context
from workloads.lowering.emit.places import A_KV, Cell
from workloads.lowering.plan.dims import ceil_div

_MINUS_INFINITY = 1


@attrs.frozen
class Query:
    """A query tile: `rows` rows of the sequence from `first`, the `index`th of those that share the pieces."""

    first: int
    rows: int
    index: int


@attrs.frozen
class Piece:
    """Key tiles of a piece and of the one after it, and what is special about it."""

    tiles: int
    following: int
    first: bool
    last: bool
    ends_next: bool
    """Whether the next piece is the last one."""


def attend_by_pieces(c: Context) -> None:
    """Attention of queries that are in place, to keys and values that are all in HBM."""
    c.phase("attention")
    blen, rows = c.dims.view.blen, c.kind.q_rows
    tiles = [(first, min(blen, rows - first)) for first in range(0, rows, blen)]
    # Where rows see no keys behind them every query tile has pieces of its own.
    shared = [[tile] for tile in tiles] if c.kind.causal else [tiles]
    for group in range(c.dims.q.blocks):
        for sequence in range(c.vectors.sequences):
            for batch in shared:
                queries = [Query(first, count, index) for index, (first, count) in enumerate(batch)]
                _Pieces(c, group, sequence, queries).emit()


class _Pieces:
    """The pieces of one group of heads while they are emitted."""

    def __init__(self, context: Context, group: int, sequence: int, queries: list[Query]) -> None:
        self.c, self.b = context, context.b
        self.group, self.sequence, self.queries = group, sequence, queries
        view, kv = context.dims.view, context.dims.kv
        self.tile_cells = view.mlen * view.hlen * context.options.kv_format.cells
        self.tile_elements = view.hlen * kv.width
        area = context.vectors.pieces
        assert area is not None
        self.area = area
        self.run = area.tiles * self.tile_cells
        last = queries[-1]
        end = context.first_row + last.first + last.rows
        self.tiles = ceil_div(end, view.hlen) if context.kind.causal else context.kind.key_tiles
        kv_group = context.dims.kv_group(group)
        self.keys = context.kv_offset(value=False, sequence=sequence, group=kv_group)
        self.to_values = context.kv_offset(value=True, sequence=sequence, group=kv_group) - self.keys

    def emit(self) -> None:
        """All pieces; equal ones in a loop."""
        c, b = self.c, self.b
        b.stride(c.dims.kv.width)
        with b.reg(c.kv_base) as cell, c.offset(Cell.KV_READ, self.keys) as source:
            plan = list(self._plan())
            self._start()
            self._fetch(cell, source, plan[0].tiles, last=len(plan) == 1)
            for piece, same in itertools.groupby(plan):
                with b.loop(len(list(same))):
                    self._piece(piece, cell, source)
        self._finish()

    def _plan(self) -> Iterator[Piece]:
        sizes = [min(self.area.tiles, self.tiles - start) for start in range(0, self.tiles, self.area.tiles)]
        for index, size in enumerate(sizes):
            left = len(sizes) - 1 - index
            yield Piece(size, sizes[index + 1] if left else 0, index == 0, left == 0, left == 1)

    def _start(self) -> None:
        """Before the first piece the largest score is minus infinity, and sums are 0."""
        c, b = self.c, self.b
        b.emit("S_RECI_FP", _MINUS_INFINITY, 0)
        b.emit("S_SUB_FP", _MINUS_INFINITY, 0, _MINUS_INFINITY)
        for query in self.queries:
            largest, sums = self._statistics(query)
            place = c.v(self._query(query))
            b.v_rows(1)
            b.emit("V_MUL_VF", c.v(sums), place, 0)
            b.emit("V_ADD_VF", c.v(largest), c.v(sums), _MINUS_INFINITY)
            b.v_rows(self._count(query))
            b.emit("V_MUL_VF", c.v(self.area.out + query.first), c.v(self._query(query)), 0)

    def _fetch(self, cell: int, source: int, tiles: int, *, last: bool) -> None:
        """Fetch a piece's keys to the cell in a register, its values two buffers on; move `source` behind them."""
        c, b, kind = self.c, self.b, self.c.kind
        whole = last and self.tiles == kind.key_tiles
        with b.reg() as target, b.reg() as values, b.reg() as slot:
            b.emit("S_ADD_INT", target, cell, 0)
            for tile in range(tiles):
                if whole and tile == tiles - 1 and kind.masked:
                    with b.reg() as elements:
                        b.load(elements, Cell.TAIL)
                        b.fetch_elements(elements)
                elif whole and tile == tiles - 1 and kind.tail:
                    b.m_fetch(1, kind.tail * c.dims.kv.width)
                else:
                    b.m_fetch(1, self.tile_elements)
                b.emit("H_PREFETCH_M", target, source, A_KV, 0, c.tile_precision(value=False))
                b.emit("S_ADD_INT", values, source, b.const(self.to_values))
                b.emit("S_ADD_INT", slot, target, b.const(2 * self.run))
                b.emit("H_PREFETCH_M", slot, values, A_KV, 0, c.tile_precision(value=True))
                b.add(source, self.tile_elements)
                if tile < tiles - 1:
                    b.add(target, self.tile_cells)

    def _piece(self, piece: Piece, cell: int, source: int) -> None:
        b = self.b
        with b.reg() as other:
            b.emit("S_SUB_INT", other, b.const(2 * self.c.kv_base + self.run), cell)
            if piece.following:
                self._fetch(other, source, piece.following, last=piece.ends_next)
            for query in self.queries:
                self._scores(query, piece, cell)
                self._sum(query, piece, cell)
            b.emit("S_ADD_INT", cell, other, 0)

    def _scores(self, query: Query, piece: Piece, cell: int) -> None:
        """Scores of the piece, [key tile][row], and their exponentials less the largest so far."""
        c, b, scores = self.c, self.b, self.c.vectors.scores
        self._set_tiles(query, 1)
        with b.reg() as place:
            b.emit("S_ADD_INT", place, cell, 0)
            for tile in range(piece.tiles):
                b.emit("M_BTMM", place, c.v(self._query(query)))
                b.emit("M_BMM_WO", c.v(scores + tile * query.rows), 0)
                if tile < piece.tiles - 1:
                    b.add(place, self.tile_cells)
        if piece.last:
            self._mask(query, scores + (piece.tiles - 1) * query.rows)
        largest, _ = self._statistics(query)
        b.v_rows(1)
        b.emit("V_ADD_VF", c.v(self.area.growth), c.v(largest), 0)
        parts = [scores + tile * query.rows for tile in range(piece.tiles)]
        b.v_rows(self._count(query))
        b.v_seg(c.dims.view.hlen)
        for part in parts:
            b.emit("V_RED_MAX_SEG", c.v(largest), c.v(part), 1)
        for part in parts:
            b.emit("V_SUB_SEG", c.v(part), c.v(part), c.v(largest))
            b.emit("V_EXP_V", c.v(part), c.v(part))

    def _sum(self, query: Query, piece: Piece, cell: int) -> None:
        """Scale the sums by how much the largest score has grown, and add the piece's."""
        c, b, area, scores = self.c, self.b, self.area, self.c.vectors.scores
        largest, sums = self._statistics(query)
        self._set_tiles(query, piece.tiles)
        with b.reg() as values:
            b.emit("S_ADD_INT", values, cell, b.const(2 * self.run))
            b.emit("M_BMM", values, c.v(scores))
        b.emit("M_BMM_WO", c.v(area.product), 0)
        b.v_rows(1)
        b.emit("V_SUB_VV", c.v(area.growth), c.v(area.growth), c.v(largest))
        b.emit("V_EXP_V", c.v(area.growth), c.v(area.growth))
        b.emit("V_MUL_VV", c.v(sums), c.v(sums), c.v(area.growth))
        b.v_rows(self._count(query))
        b.v_seg(c.dims.view.hlen)
        for tile in range(piece.tiles):
            b.emit("V_RED_SUM_SEG", c.v(sums), c.v(scores + tile * query.rows), 1)
        out = c.v(area.out + query.first)
        b.emit("V_MUL_SEG", out, out, c.v(area.growth))
        b.emit("V_ADD_VV", out, out, c.v(area.product))

    def _mask(self, query: Query, part: int) -> None:
        """Add minus infinity where the last key tile holds no key, or one that the row may not see."""
        c, b = self.c, self.b
        if c.kind.causal:
            b.v_rows(self._count(query))
            mask = c.vectors.key_mask + c.first_row + query.first - (self.tiles - 1) * c.dims.view.hlen
            b.emit("V_ADD_VV", c.v(part), c.v(part), c.v(mask))
        elif c.kind.masked:
            b.v_rows(self._count(query), 1, 0)
            b.emit("V_ADD_VV", c.v(part), c.v(part), c.v(c.vectors.key_mask))

    def _finish(self) -> None:
        """Outputs over the sums take the place of the queries."""
        c, b = self.c, self.b
        for query in self.queries:
            _, sums = self._statistics(query)
            b.v_rows(1)
            b.emit("V_RECI_V", c.v(sums), c.v(sums))
            b.v_rows(self._count(query))
            b.v_seg(c.dims.view.hlen)
            target = self._query(query)
            b.emit("V_MUL_SEG", c.v(target), c.v(self.area.out + query.first), c.v(sums))
            row_work.fold_unit(c, target, self._count(query), self.sequence, self.group, value=True)

    def _query(self, query: Query) -> int:
        v = self.c.vectors
        return v.query + self.group * v.rows + self.sequence * self.c.kind.q_rows + query.first

    def _statistics(self, query: Query) -> tuple[int, int]:
        """Vectors of the largest scores and of the sums."""
        place = self.area.statistics + 2 * query.index
        return place, place + 1

    def _count(self, query: Query) -> Count:
        return self.c.part(query.first, self.c.dims.view.blen, self.c.kind.q_rows)

    def _set_tiles(self, query: Query, tiles: int) -> None:
        b, dims = self.b, self.c.dims
        b.m_rows(self._count(query))
        b.m_tiles(tiles, query.rows)
        b.m_group(dims.q_per_kv, dims.first_query(self.group))
