"""Emission of the weight stream: GEMMs through a ring of tiles in Matrix SRAM that is filled ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import attrs

from archsim.isa.formats import Format
from workloads.lowering.emit.builder import POOL, Builder, Count, Word
from workloads.lowering.plan.dims import Dims
from workloads.lowering.plan.ring import Fetch, Plan, Use
from workloads.lowering.plan.stages import Gemm

GEMM_REGISTERS = 9
"""Most registers that a matrix takes, loops included."""


@attrs.frozen(kw_only=True)
class Rows:
    """The activation operand of a GEMM: `rows` rows at Vector SRAM vector `base`, column blocks `pitch` apart."""

    base: int
    rows: int
    pitch: int
    count: Count = attrs.field(default=attrs.Factory(lambda self: self.rows, takes_self=True))
    """Rows that there are, where `rows` is the most there may be."""
    last: Word | None = None
    """Rows of the last row tile, where `count` is a word."""

    def row_tiles(self, blen: int) -> list[Count]:
        """Rows of every row tile."""
        sizes: list[Count] = [min(blen, self.rows - start) for start in range(0, self.rows, blen)]
        return sizes if self.last is None else [*sizes[:-1], self.last]


@attrs.frozen
class Walk:
    """Registers of a loop over n-tiles, `group` of which are fetched together; `offset` is 0 where nothing is."""

    group: int
    slot: int
    """Slot of the n-tile at hand."""
    slot_step: int
    first: int = 0
    """Slot of the first one of its group."""
    group_step: int = 0
    offset: int = 0
    """Element that is fetched next."""
    offset_step: int = 0


class Stream:
    """Emits the GEMMs of a stage in order, each n-tile followed by the fetch into the slots it frees."""

    def __init__(
        self,
        builder: Builder,
        dims: Dims,
        weights: Format,
        depth: int,
        switch: Callable[[Plan], None],
        register: int,
        *,
        base: int = 0,
        origin: Callable[[int, bool], None] | None = None,
    ) -> None:
        """`switch`, given a stage's plan, emits code that moves address register `register` to the next stage.

        The ring begins at Matrix SRAM cell `base`. `origin`, if there is one, emits code that adds to a register the
        element at which this stage's matrices begin, or (second argument) the next one's.
        """
        self.b, self.dims, self.depth = builder, dims, depth
        self.tile_cells = dims.view.tile_elements * weights.cells
        self._switch, self._a, self._base, self._origin = switch, register, base, origin
        self._queue: Iterator[tuple[Gemm, list[Use]]] = iter(())
        self._plan: Plan | None = None
        self._switched = False

    def prologue(self, first: Plan) -> None:
        """Fill the ring with the first tiles of a stage whose base the address register holds."""
        size, step = first.sizes[0], first.stage.gemms[0].k_tiles
        for slot in range(0, self.depth, step):
            count = min(step, self.depth - slot)
            self._fetch(Fetch(slot, count, size, slot * size, next_stage=False))

    def fill(self, plan: Plan) -> None:
        """The same, whatever the sizes of the tiles."""
        for fetch in plan.start():
            self._fetch(fetch)

    def begin(self, plan: Plan) -> None:
        """Start a stage."""
        self._queue, self._plan, self._switched = plan.uses(), plan, False
        if plan.partial:
            self._complete(plan.sizes[0], plan.partial)

    def _complete(self, size: int, there: int) -> None:
        """Fetch what is left of the tiles in the ring, of each of which so many elements are there."""
        b, rest = self.b, size - there
        b.m_fetch(1, rest)
        with b.reg(0) as slot, b.reg(self.depth * there) as offset, b.loop(self.depth):
            b.emit("H_PREFETCH_M", slot, offset, self._a, 0, 0)
            b.add(slot, self.tile_cells)
            b.add(offset, rest)

    def end(self) -> None:
        """End a stage: fetch into its idle slots."""
        if self._plan is None or next(self._queue, None) is not None:
            raise AssertionError("a stage ended before all its matrices were used")
        for fetch in self._plan.tail():
            self._fetch(fetch)

    def gemm(self, name: str, source: Rows, target: int) -> None:
        """Emit the next matrix: rows of `source` times it, to the column block at vector `target`."""
        gemm, uses = next(self._queue)
        if gemm.name != name:
            raise AssertionError(f"matrix {gemm.name} is next in the stream, not {name}")
        done, out = 0, target * self.dims.view.vlen
        while done < len(uses):
            use, count = uses[done], 1
            while done + count < len(uses) and uses[done + count].follows(use, count):
                count += 1
            self._segment(gemm, use, count, source, out)
            done += count
            out += count * len(use.reads) * self.dims.view.blen

    def _segment(self, gemm: Gemm, use: Use, count: int, source: Rows, out: int) -> None:
        b, view = self.b, self.dims.view
        sizes = source.row_tiles(view.blen)
        looped = count > 1
        fetch = use.fetches[0] if looped and use.fetches else None
        if fetch is not None:
            self._reach(fetch)
            b.m_fetch(fetch.count, fetch.elements)
        if use.run is not None:
            b.m_tiles(gemm.k_tiles, source.pitch)
        if len(set(sizes)) == 1:
            b.m_rows(sizes[0])
        if not looped:
            self._single(use, source, out)
            for each in use.fetches:
                self._fetch(each)
            return
        if len(sizes) <= 2:
            self._unrolled(use, fetch, count, source, out)
        else:
            self._nested(use, fetch, count, source, out)

    def _reach(self, fetch: Fetch) -> None:
        """Point the address register at the stage the fetch takes from."""
        if fetch.next_stage and not self._switched:
            assert self._plan is not None
            if not self._plan.same_base:
                self._switch(self._plan)
            self._switched = True

    def _fetch(self, fetch: Fetch) -> None:
        self._reach(fetch)
        self.b.m_fetch(fetch.count, fetch.elements)
        slot = self._cell(fetch.slot)
        if self._origin is None:
            self.b.emit("H_PREFETCH_M", self.b.const(slot), self.b.const(fetch.offset), self._a, 0, 0)
            return
        with self.b.reg(fetch.offset) as offset:
            self._origin(offset, fetch.next_stage)
            self.b.emit("H_PREFETCH_M", self.b.const(slot), offset, self._a, 0, 0)

    def _cell(self, slot: int) -> int:
        """Matrix SRAM cell of a slot."""
        return self._base + slot * self.tile_cells

    def _single(self, use: Use, source: Rows, out: int) -> None:
        """N-tiles by themselves; the tiles of each may lie on both ends of the ring."""
        for index, runs in enumerate(use.reads):
            self._alone(runs, source, out + index * self.dims.view.blen)

    def _alone(self, runs: tuple[tuple[int, int], ...], source: Rows, out: int) -> None:
        b, view = self.b, self.dims.view
        sizes = source.row_tiles(view.blen)
        for index, rows in enumerate(sizes):
            b.m_rows(rows)
            vector, done = source.base + index * view.blen, 0
            for slot, tiles in runs:
                b.m_tiles(tiles, source.pitch)
                address = (vector + done * source.pitch) * view.vlen
                b.emit("M_MM", b.const(self._cell(slot)), b.const(address))
                done += tiles
            b.emit("M_MM_WO", b.const(out + index * view.blen * view.vlen), 0, 0)

    def _unrolled(self, use: Use, fetch: Fetch | None, count: int, source: Rows, out: int) -> None:
        """A loop over n-tiles with one or two row tiles side by side."""
        b, view = self.b, self.dims.view
        sizes = source.row_tiles(view.blen)
        step = view.blen * view.vlen
        with ExitStack() as stack:
            walk = self._walk(stack, use, fetch)
            pairs = [
                (
                    stack.enter_context(b.reg(source.base * view.vlen + index * step)),
                    stack.enter_context(b.reg(out + index * step)),
                )
                for index in range(len(sizes))
            ]
            stack.enter_context(b.loop(count))
            for index in range(len(use.reads)):
                for (x, y), rows in zip(pairs, sizes, strict=True):
                    if len(set(sizes)) > 1:
                        b.m_rows(rows)
                    b.emit("M_MM", walk.slot, x)
                    b.emit("M_MM_WO", y, 0, 0)
                self._next(walk, index)
                for _, y in pairs:
                    b.emit("S_ADDI_INT", y, y, view.blen)

    def _walk(self, stack: ExitStack, use: Use, fetch: Fetch | None) -> Walk:
        """Set the registers of a loop over n-tiles."""
        b, group = self.b, len(use.reads)
        slot_step = use.reads[0][0][1] * self.tile_cells
        slot = stack.enter_context(b.reg(self._cell(use.reads[0][0][0])))
        if fetch is None:
            return Walk(group, slot, stack.enter_context(b.borrow(slot_step)))
        offset = stack.enter_context(b.reg(fetch.offset))
        if self._origin is not None:
            self._origin(offset, fetch.next_stage)
        steps = slot_step, group * slot_step, fetch.count * fetch.elements
        held: dict[int, int] = {}
        for step in steps:
            if step not in held:
                held[step] = stack.enter_context(b.borrow(step) if len(held) < len(POOL) - 1 else b.reg(step))
        slot_step, group_step, offset_step = [held[step] for step in steps]
        first = slot if group == 1 else stack.enter_context(b.reg())
        return Walk(group, slot, slot_step, first, group_step, offset, offset_step)

    def _next(self, walk: Walk, index: int) -> None:
        """Go on to the next n-tile, and fetch behind the last one of a group."""
        b, last = self.b, index == walk.group - 1
        if walk.group == 1 and walk.offset:
            b.emit("H_PREFETCH_M", walk.first, walk.offset, self._a, 0, 0)
        b.emit("S_ADD_INT", walk.slot, walk.slot, walk.slot_step)
        if not (last and walk.offset):
            return
        if walk.group > 1:
            b.emit("S_SUB_INT", walk.first, walk.slot, walk.group_step)
            b.emit("H_PREFETCH_M", walk.first, walk.offset, self._a, 0, 0)
        b.emit("S_ADD_INT", walk.offset, walk.offset, walk.offset_step)

    def _nested(self, use: Use, fetch: Fetch | None, count: int, source: Rows, out: int) -> None:
        """A loop over n-tiles with an inner loop over full row tiles; a shorter last one follows it."""
        b, view = self.b, self.dims.view
        sizes = source.row_tiles(view.blen)
        ragged = sizes[-1] if sizes[-1] != view.blen else None
        full = len(sizes) - (ragged is not None)
        with ExitStack() as stack:
            walk = self._walk(stack, use, fetch)
            x = stack.enter_context(b.reg())
            y = stack.enter_context(b.reg(out))
            row_step = stack.enter_context(b.reg(view.blen * view.vlen))
            stack.enter_context(b.loop(count))
            for index in range(len(use.reads)):
                b.set(x, source.base * view.vlen)
                if ragged is not None:
                    b.m_rows(view.blen)
                with b.loop(full):
                    b.emit("M_MM", walk.slot, x)
                    b.emit("M_MM_WO", y, 0, 0)
                    b.emit("S_ADD_INT", x, x, row_step)
                    b.emit("S_ADD_INT", y, y, row_step)
                if ragged is not None:
                    b.m_rows(ragged)
                    b.emit("M_MM", walk.slot, x)
                    b.emit("M_MM_WO", y, 0, 0)
                self._next(walk, index)
                b.emit("S_SUB_INT", y, y, b.const(full * view.blen * view.vlen - view.blen))
