"""Loads of cached key and value tiles into the KV area of Matrix SRAM, as early as room and data allow."""

from __future__ import annotations

import attrs

from workloads.lowering.attention.key_blocks import load_blocks
from workloads.lowering.emit.builder import Builder
from workloads.lowering.emit.context import Context
from workloads.lowering.emit.places import A_KV, Cell
from workloads.lowering.plan.dims import KeysTooLong


@attrs.frozen
class Item:
    """The key tiles (or value tiles) of a sequence for a group of query heads."""

    value: bool
    sequence: int
    group: int
    unit: int = 0
    """First row of the query tile, where each has keys of its own."""


class KvLoader:
    """A ring of buffers, each of which holds all key tiles of one item.

    `items` are in the order in which they are used. `stored` and `used` tell what has been emitted;
    after each of them every load that has become possible is emitted.
    """

    def __init__(self, context: Context, items: list[Item]) -> None:
        self.c, self.items = context, items
        self._loaded = 0
        self._used: set[int] = set()
        self._stored: set[tuple[bool, int]] = set()
        view = context.dims.view
        self._tile_cells = view.mlen * view.hlen * context.options.kv_format.cells

    def stored(self, *, value: bool, kv_group: int) -> None:
        """The rows of all sequences of a KV group have been stored to HBM."""
        self._stored.add((value, kv_group))
        self._pump()

    def used(self, item: Item) -> None:
        """The last instruction that reads the item has been emitted."""
        self._used.add(self.items.index(item))
        self._pump()

    def cell(self, item: Item) -> int:
        """Matrix SRAM address of the item's first tile; raises WorkloadError where one buffer is too few."""
        index, c = self.items.index(item), self.c
        if index >= self._loaded and c.kv_buffers == 1:
            found = f"machine {c.dims.view.name}: Matrix SRAM holds the {c.kind.key_tiles} key tiles of one of K and V"
            raise KeysTooLong(f"{found}; expected room for both, that is fewer positions")
        if index >= self._loaded:
            raise AssertionError(f"{item} is read before it is loaded")
        return self._place(index)

    def tile_cell(self, item: Item, tile: int) -> int:
        """Matrix SRAM address of one of the item's tiles."""
        return self.cell(item) + tile * self._tile_cells

    def _place(self, index: int) -> int:
        c = self.c
        return c.kv_base + index % c.kv_buffers * c.kind.key_tiles * self._tile_cells

    def _pump(self) -> None:
        while self._loaded < len(self.items):
            index = self._loaded
            item = self.items[index]
            before = index - self.c.kv_buffers
            ready = (item.value, self.c.dims.kv_group(item.group)) in self._stored
            if not ready or (before >= 0 and before not in self._used):
                return
            self._load(item, self._place(index))
            self._loaded += 1

    def _load(self, item: Item, cell: int) -> None:
        c = self.c
        b, width = c.b, c.dims.kv.width
        tile, precision = c.dims.view.hlen * width, c.tile_precision(value=item.value)
        slab = c.kv_offset(item.value, item.sequence, c.dims.kv_group(item.group))
        if c.kind.key_block:
            shift = item.group + (c.first_row + item.unit) // c.dims.view.blen
            load_blocks(c, slab, shift, (cell, self._tile_cells), precision)
            return
        with c.offset(Cell.KV_READ, slab) as source:
            for index in range(c.kind.key_tiles):
                last = index == c.kind.key_tiles - 1
                if last and c.kind.masked:
                    _tail_elements(b)
                elif last and c.kind.tail:
                    b.m_fetch(1, c.kind.tail * width)
                else:
                    b.m_fetch(1, tile)
                b.emit("H_PREFETCH_M", b.const(cell + index * self._tile_cells), source, A_KV, 0, precision)
                if not last:
                    b.add(source, tile)


def _tail_elements(b: Builder) -> None:
    with b.reg() as elements:
        b.load(elements, Cell.TAIL)
        b.fetch_elements(elements)
