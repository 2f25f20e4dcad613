"""The weight stream: all tiles of a forward in the order they are used, through a ring in Matrix SRAM."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs

from archsim.errors import WorkloadError
from archsim.isa.formats import Format
from workloads.lowering.builder import Builder
from workloads.lowering.dims import Columns, Dims, round_up

LAYER, HEAD = "layer", "head"


@attrs.frozen
class Gemm:
    """One matrix of a stage: `n_tiles` column tiles of `k_tiles` tiles along the reduction."""

    name: str
    n_tiles: int
    k_tiles: int
    elements: int
    """Stored elements of a tile: used lanes of a column block times BLEN."""

    @property
    def tiles(self) -> int:
        """Tiles of the matrix."""
        return self.n_tiles * self.k_tiles


@attrs.frozen
class Stage:
    """Matrices stored back to back in HBM in the order of use: a layer, or the LM head."""

    name: str
    gemms: tuple[Gemm, ...]

    @property
    def tiles(self) -> int:
        """Tiles of the stage."""
        return sum(gemm.tiles for gemm in self.gemms)

    @property
    def elements(self) -> int:
        """Stored elements of the stage."""
        return sum(gemm.tiles * gemm.elements for gemm in self.gemms)

    def sizes(self) -> list[int]:
        """Elements of every tile in order."""
        return [gemm.elements for gemm in self.gemms for _ in range(gemm.tiles)]


def layer_stage(dims: Dims) -> Stage:
    """The matrices of a layer: K, Q and V by head group, O, gate and up by column block, down."""
    blen = dims.view.blen

    def gemm(name: str, n_columns: int, reduction: Columns) -> Gemm:
        return Gemm(name, n_columns // blen, reduction.blocks, reduction.width * blen)

    gemms: list[Gemm] = []
    for group in range(dims.q.blocks):
        fresh = group == 0 or dims.kv_group(group) != dims.kv_group(group - 1)
        gemms += [gemm(f"k{group}", dims.kv.width, dims.hidden)] if fresh else []
        gemms += [gemm(f"q{group}", dims.q.width, dims.hidden)]
        gemms += [gemm(f"v{group}", dims.kv.width, dims.hidden)] if fresh else []
    gemms += [gemm(f"o.{block}", dims.hidden.width, dims.q) for block in range(dims.hidden.blocks)]
    for part, span in enumerate(dims.ffn_spans):
        for block in span:
            gemms += [gemm(f"{name}{block}", dims.ffn.width, dims.hidden) for name in ("gate", "up")]
        inner = Columns(len(span), dims.ffn.width)
        gemms += [gemm(f"down{part}.{block}", dims.hidden.width, inner) for block in range(dims.hidden.blocks)]
    return Stage(LAYER, tuple(gemms))


def head_stage(dims: Dims) -> Stage:
    """The LM head by column chunk; the last chunk may be shorter."""
    per_chunk = dims.view.vlen // dims.view.blen
    gemms: list[Gemm] = []
    left = dims.head_tiles
    while left:
        take = min(per_chunk, left)
        size = dims.hidden.width * dims.view.blen
        gemms.append(Gemm(f"head{len(gemms)}", take, dims.hidden.blocks, size))
        left -= take
    return Stage(HEAD, tuple(gemms))


def ring_depth(stages: tuple[Stage, ...], room: int, where: str) -> int:
    """Slots of the ring: as many as fit, but one that leaves few of them idle at the end of a stage.

    A stage's tiles begin at slot 0; where its tile count is no multiple of the depth the slots left over
    stand idle until the next stage. Raises WorkloadError where one n-tile does not fit.
    """
    need = max(gemm.k_tiles for stage in stages for gemm in stage.gemms)
    limit = min(room, _common_prefix(stages))
    if limit < need:
        found = f"room for {room} weight tiles in Matrix SRAM, {limit} of them usable"
        raise WorkloadError(f"{where}: {found}; expected at least {need}")

    def worth(depth: int) -> tuple[int, int]:
        idle = max(round_up(stage.tiles, depth) - stage.tiles for stage in stages)
        return depth - idle, depth

    return max(range(need, limit + 1), key=worth)


def _common_prefix(stages: tuple[Stage, ...]) -> int:
    """Tiles at the start of every stage that have the same size: what may be fetched ahead blindly."""
    count = 0
    for sizes in zip(*(stage.sizes() for stage in stages), strict=False):
        if len(set(sizes)) > 1:
            break
        count += 1
    return count


@attrs.frozen
class Fetch:
    """One H_PREFETCH_M of the stream: `count` tiles from element `offset` of a stage to `slot`."""

    slot: int
    count: int
    elements: int
    offset: int
    next_stage: bool


@attrs.frozen
class Use:
    """What happens at one n-tile: the tile runs it reads (slot, tiles), then the fetches that replace them."""

    reads: tuple[tuple[int, int], ...]
    fetches: tuple[Fetch, ...]

    def follows(self, first: Use, index: int) -> bool:
        """Whether this is `first` moved on by `index` n-tiles, so that one loop does both."""
        if len(self.reads) > 1 or len(first.reads) > 1 or len(self.fetches) != 1 or len(first.fetches) != 1:
            return False
        (slot, tiles), (slot0, tiles0) = self.reads[0], first.reads[0]
        f, f0 = self.fetches[0], first.fetches[0]
        moved = slot == slot0 + index * tiles0 and tiles == tiles0
        return (
            moved
            and (f.count, f.elements, f.next_stage) == (f0.count, f0.elements, f0.next_stage)
            and (f.slot, f.count) == (slot, tiles)
            and (f0.slot, f0.count) == (slot0, tiles0)
            and f.offset == f0.offset + index * f0.count * f0.elements
        )


class Plan:
    """Where every tile of a stage lies in the ring, and what is fetched when."""

    def __init__(self, stage: Stage, depth: int) -> None:
        self.stage, self.depth = stage, depth
        self.sizes = stage.sizes()
        self.offsets = [0]
        for size in self.sizes:
            self.offsets.append(self.offsets[-1] + size)
        self.length = round_up(len(self.sizes), depth)

    def uses(self) -> Iterator[tuple[Gemm, list[Use]]]:
        """Every matrix with its n-tiles."""
        position = 0
        for gemm in self.stage.gemms:
            uses: list[Use] = []
            for _ in range(gemm.n_tiles):
                uses.append(self._use(position, gemm.k_tiles))
                position += gemm.k_tiles
            yield gemm, uses
        return

    def tail(self) -> tuple[Fetch, ...]:
        """Fetches into the slots that the end of the stage leaves idle."""
        return tuple(self._fetches(len(self.sizes), self.length - len(self.sizes)))

    def _use(self, position: int, tiles: int) -> Use:
        slot = position % self.depth
        first = min(tiles, self.depth - slot)
        reads = ((slot, first),) if first == tiles else ((slot, first), (0, tiles - first))
        return Use(reads, tuple(self._fetches(position, tiles)))

    def _fetches(self, position: int, tiles: int) -> list[Fetch]:
        out: list[Fetch] = []
        for index in range(position, position + tiles):
            ahead = index + self.depth
            later = ahead >= self.length
            ahead -= self.length if later else 0
            if ahead >= len(self.sizes):
                continue
            one = Fetch(index % self.depth, 1, self.sizes[ahead], self.offsets[ahead], later)
            if out and _joins(out[-1], one):
                out[-1] = attrs.evolve(out[-1], count=out[-1].count + 1)
            else:
                out.append(one)
        return out


def _joins(run: Fetch, one: Fetch) -> bool:
    return (
        one.slot == run.slot + run.count
        and one.elements == run.elements
        and one.next_stage == run.next_stage
        and one.offset == run.offset + run.count * run.elements
    )


@attrs.frozen(kw_only=True)
class Rows:
    """The activation operand of a GEMM: `rows` rows at Vector SRAM vector `base`, column blocks `pitch` apart."""

    base: int
    rows: int
    pitch: int


class Stream:
    """Emits the GEMMs of a stage in order, each n-tile followed by the fetch into the slots it frees."""

    def __init__(
        self, builder: Builder, dims: Dims, weights: Format, depth: int, switch: Callable[[str], None], register: int
    ) -> None:
        """`switch`, given the stage's name, emits code that moves address register `register` to the next stage."""
        self.b, self.dims, self.depth = builder, dims, depth
        self.tile_cells = dims.view.tile_elements * weights.cells
        self._switch, self._a = switch, register
        self._queue: Iterator[tuple[Gemm, list[Use]]] = iter(())
        self._plan: Plan | None = None
        self._switched = False

    def prologue(self, first: Plan) -> None:
        """Fill the ring with the first tiles of a stage whose base the address register holds."""
        size, step = first.sizes[0], first.stage.gemms[0].k_tiles
        for slot in range(0, self.depth, step):
            count = min(step, self.depth - slot)
            self._fetch(Fetch(slot, count, size, slot * size, next_stage=False))

    def begin(self, plan: Plan) -> None:
        """Start a stage."""
        self._queue, self._plan, self._switched = plan.uses(), plan, False

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
        done = 0
        while done < len(uses):
            count = 1
            while done + count < len(uses) and uses[done + count].follows(uses[done], count):
                count += 1
            self._segment(gemm, uses[done], count, source, target * self.dims.view.vlen + done * self.dims.view.blen)
            done += count

    def _segment(self, gemm: Gemm, use: Use, count: int, source: Rows, out: int) -> None:
        b, view = self.b, self.dims.view
        full, ragged = divmod(source.rows, view.blen)
        looped = count > 1
        fetch = use.fetches[0] if looped else None
        if fetch is not None:
            self._reach(fetch)
            b.m_fetch(fetch.count, fetch.elements)
        if len(use.reads) == 1:
            b.m_tiles(gemm.k_tiles, source.pitch)
        if full == 0 or ragged == 0:
            b.m_rows(view.blen if full else ragged)
        tiles = full + (ragged > 0)
        if not looped:
            self._single(use, source, out)
            for each in use.fetches:
                self._fetch(each)
            return
        assert fetch is not None
        if tiles <= 2:
            self._unrolled(use, fetch, count, source, out)
        else:
            self._nested(use, fetch, count, source, out)

    def _reach(self, fetch: Fetch) -> None:
        """Point the address register at the stage the fetch takes from."""
        if fetch.next_stage and not self._switched:
            assert self._plan is not None
            self._switch(self._plan.stage.name)
            self._switched = True

    def _fetch(self, fetch: Fetch) -> None:
        self._reach(fetch)
        self.b.m_fetch(fetch.count, fetch.elements)
        slot, offset = self.b.const(fetch.slot * self.tile_cells), self.b.const(fetch.offset)
        self.b.emit("H_PREFETCH_M", slot, offset, self._a, 0, 0)

    def _row_tiles(self, rows: int) -> list[int]:
        blen = self.dims.view.blen
        return [min(blen, rows - start) for start in range(0, rows, blen)]

    def _single(self, use: Use, source: Rows, out: int) -> None:
        """One n-tile by itself; its tiles may lie on both ends of the ring."""
        b, view = self.b, self.dims.view
        sizes = self._row_tiles(source.rows)
        for index, rows in enumerate(sizes):
            b.m_rows(rows)
            vector, done = source.base + index * view.blen, 0
            for slot, tiles in use.reads:
                b.m_tiles(tiles, source.pitch)
                address = (vector + done * source.pitch) * view.vlen
                b.emit("M_MM", b.const(slot * self.tile_cells), b.const(address))
                done += tiles
            b.emit("M_MM_WO", b.const(out + index * view.blen * view.vlen), 0, 0)

    def _unrolled(self, use: Use, fetch: Fetch, count: int, source: Rows, out: int) -> None:
        """A loop over n-tiles with one or two row tiles side by side."""
        b, view = self.b, self.dims.view
        sizes = self._row_tiles(source.rows)
        two = len(sizes) == 2
        step = view.blen * view.vlen
        first = source.base * view.vlen
        with (
            b.reg(use.reads[0][0] * self.tile_cells) as slot,
            b.reg(fetch.offset) as offset,
            b.reg(first) as x0,
            b.reg(first + step if two else 0) as x1,
            b.reg(out) as y0,
            b.reg(out + step if two else 0) as y1,
            self._steps(fetch) as (slot_step, offset_step),
            b.loop(count),
        ):
            pairs = ((x0, y0), (x1, y1))[: len(sizes)]
            for (x, y), rows in zip(pairs, sizes, strict=True):
                if len(set(sizes)) > 1:
                    b.m_rows(rows)
                b.emit("M_MM", slot, x)
                b.emit("M_MM_WO", y, 0, 0)
            b.emit("H_PREFETCH_M", slot, offset, self._a, 0, 0)
            b.emit("S_ADD_INT", slot, slot, slot_step)
            b.emit("S_ADD_INT", offset, offset, offset_step)
            for _, y in pairs:
                b.emit("S_ADDI_INT", y, y, view.blen)

    def _steps(self, fetch: Fetch) -> _Steps:
        return _Steps(self.b, fetch.count * self.tile_cells, fetch.count * fetch.elements)

    def _nested(self, use: Use, fetch: Fetch, count: int, source: Rows, out: int) -> None:
        """A loop over n-tiles with an inner loop over full row tiles; a shorter last one follows it."""
        b, view = self.b, self.dims.view
        full, ragged = divmod(source.rows, view.blen)
        with (
            b.reg(use.reads[0][0] * self.tile_cells) as slot,
            b.reg(fetch.offset) as offset,
            b.reg() as x,
            b.reg(out) as y,
            b.reg(view.blen * view.vlen) as row_step,
            self._steps(fetch) as (slot_step, offset_step),
            b.loop(count),
        ):
            b.set(x, source.base * view.vlen)
            if ragged:
                b.m_rows(view.blen)
            with b.loop(full):
                b.emit("M_MM", slot, x)
                b.emit("M_MM_WO", y, 0, 0)
                b.emit("S_ADD_INT", x, x, row_step)
                b.emit("S_ADD_INT", y, y, row_step)
            if ragged:
                b.m_rows(ragged)
                b.emit("M_MM", slot, x)
                b.emit("M_MM_WO", y, 0, 0)
            b.emit("H_PREFETCH_M", slot, offset, self._a, 0, 0)
            b.emit("S_ADD_INT", slot, slot, slot_step)
            b.emit("S_ADD_INT", offset, offset, offset_step)
            b.emit("S_SUB_INT", y, y, b.const(full * view.blen * view.vlen - view.blen))


class _Steps:
    """Registers with the slot and the offset step of a loop; one register where they are equal."""

    def __init__(self, builder: Builder, slot_step: int, offset_step: int) -> None:
        self._b, self._values = builder, (slot_step, offset_step)

    def __enter__(self) -> tuple[int, int]:
        slot_step, offset_step = self._values
        self._first = self._b.reg(slot_step)
        slot = self._first.__enter__()
        self._second = None if slot_step == offset_step else self._b.borrow(offset_step)
        return slot, slot if self._second is None else self._second.__enter__()

    def __exit__(self, *exc: object) -> None:
        if self._second is not None:
            self._second.__exit__(None, None, None)
        self._first.__exit__(None, None, None)
