"""Attention to chosen blocks of keys: how they are chosen, and how they are loaded.

Every query tile of every group of heads has a list of blocks of its own. A block is one transfer of all heads
of the group: heads that are packed into one tile choose for themselves, so that the blocks of a tile are
those of no single head, but as many. Which blocks are taken is made up.
"""

from __future__ import annotations

from workloads.lowering.emit.context import Context
from workloads.lowering.emit.places import A_KV, Cell
from workloads.lowering.plan.dims import ceil_div
from workloads.lowering.plan.vectors import TRANSFER


def block_starts(rows: int, block: int) -> list[int]:
    """The first row of every block of a canvas, neighbours far apart; a shorter last one begins earlier."""
    count = ceil_div(rows, block)
    stride = next(step for step in range(count * 5 // 8 + 1, 2 * count + 2) if _coprime(step, count))
    return [min(index * stride % count * block, max(rows - block, 0)) for index in range(count)]


def _coprime(left: int, right: int) -> bool:
    while right:
        left, right = right, left % right
    return left == 1


def load_blocks(c: Context, slab: int, shift: int, tiles: tuple[int, int], precision: int) -> None:
    """Load as many key blocks as the class sees, from element `slab` of the cache.

    `shift` is where in the list of blocks this query tile's begin; `tiles` the cell of the first key tile and the cells
    of each.
    """
    cell, tile_cells = tiles
    b, width, hlen, block = c.b, c.dims.kv.width, c.dims.view.hlen, c.kind.key_block
    with b.reg() as source, b.reg() as base:
        b.load(base, Cell.KV_READ)
        b.add(base, slab)
        for index, start in enumerate(range(0, c.kind.kv_rows, block)):
            rows = min(block, c.kind.kv_rows - start)
            b.load(source, c.block_list + (index + shift) % c.blocks)
            b.emit("S_MUL_INT", source, source, b.const(width))
            b.emit("S_ADD_INT", source, source, base)
            b.m_fetch(max(rows // hlen, 1), min(rows, hlen) * width)
            b.emit("H_PREFETCH_M", b.const(cell + start // hlen * tile_cells), source, A_KV, 0, precision)


def choose_blocks(c: Context, scores: int, statistics: int, rows: int, tiles: int) -> None:
    """Of a query tile's exponentials: probabilities, their sums by block and head, and each head's largest ones.

    A key tile's lanes are summed by head, then its rows by halves; the sums of the last tile stand for all
    tiles' when blocks are chosen.
    """
    b, view, v = c.b, c.dims.view, c.vectors
    sums, moved = v.scratch, v.scratch + 1
    c.phase("select")
    for tile in range(tiles):
        b.v_rows(rows)
        b.v_seg(view.hlen)
        part = c.v(scores + tile * rows)
        b.emit("V_MUL_SEG", part, part, c.v(statistics + 1))
        b.emit("V_RED_SUM_SEG", c.v(sums), part)
        b.v_rows(1)
        lanes = min(rows * view.heads_per_vector, view.vlen) // 2
        while lanes >= view.heads_per_vector:
            b.emit("V_SHFT_V", c.v(moved), c.v(sums), b.const(lanes))
            b.emit("V_ADD_VV", c.v(sums), c.v(sums), c.v(moved))
            lanes //= 2
    count = ceil_div(tiles * view.hlen, c.kind.block_rows)
    with (
        b.reg(c.kind.chosen_blocks) as chosen, b.reg(count) as blocks, b.reg(TRANSFER * view.vlen) as mask,
        b.loop(min(c.dims.q_heads, view.heads_per_vector)),
    ):  # fmt: skip
        b.emit("V_TOPK_MASK", mask, c.v(sums), c.v(sums), chosen, blocks)
        starts = b.const(c.block_list)
        b.emit("S_SELECT_INT", b.const(c.chosen_list), starts, starts, mask, blocks)
    c.phase("attention")
