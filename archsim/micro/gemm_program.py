"""A dense matrix product as a program for one core or several: operands from HBM, results to HBM, all BF16.

Layout in HBM, chosen so that every transfer is one contiguous piece: X by row tiles [row tile][k tile][row][lane],
W by column tiles [n tile][k tile][column][row], Y by column tiles [chunk][n tile][row][lane]. Rows go in chunks
that fit Vector SRAM beside two column tiles of Y; W streams through once for each chunk, two column
tiles in Matrix SRAM. A column tile comes in pieces, each into the place of one that has had its last use.

N and K that are no multiples of the array are padded; the last row tile has the rows that are left. A tile takes
BLEN cycles however few its rows are: loading the weights of the next one takes as long.

Several cores share the column tiles evenly; each reads all of X, and its first column tile from INT_MEM[0].
"""

from __future__ import annotations

import attrs

from archsim.errors import ConfigError
from archsim.isa.assembler import assemble
from archsim.isa.formats import FORMATS
from archsim.isa.program import Header, Program
from archsim.isa.timing.systolic import Gemm
from archsim.machine import MachineParams

BF16_BYTES, BF16 = 2, 2
"""Bytes of an element, and its code as the precision of a vector transfer."""

ALIGN = 1 << 20
"""Tensors start at multiples of this many bytes."""

PIECES = 4
"""Transfers, at most, that bring a column tile of W, and the first row tile of X."""


@attrs.frozen(kw_only=True)
class _Plan:
    """Sizes in tiles and vectors."""

    blen: int
    vlen: int
    k_tiles: int
    n_tiles: int
    columns: int
    """Column tiles of one core."""
    chunks: tuple[tuple[int, ...], ...]
    """Rows of every row tile, chunk by chunk; only the last tile of all may be lower than the array."""

    @property
    def rows(self) -> int:
        """Rows of X and Y."""
        return sum(map(sum, self.chunks))

    @property
    def slot_cells(self) -> int:
        """Matrix SRAM cells of a column tile of W."""
        return self.k_tiles * self.tile_cells

    @property
    def tile_elements(self) -> int:
        """Elements of a tile of W."""
        return self.vlen * self.blen

    @property
    def tile_cells(self) -> int:
        """Matrix SRAM cells of a tile of W."""
        return self.tile_elements * FORMATS["bf16"].cells

    @property
    def tile_vectors(self) -> int:
        """Vector SRAM vectors set aside for a row tile of X."""
        return self.k_tiles * self.blen

    def pieces(self) -> list[tuple[int, int]]:
        """(first k tile, k tiles) of the transfers of a column."""
        step = -(-self.k_tiles // PIECES)
        return [(first, min(step, self.k_tiles - first)) for first in range(0, self.k_tiles, step)]


def gemm_program(gemm: Gemm, params: MachineParams) -> Program:
    """The product on `params`, whose cores must have MLEN = VLEN = BLEN; raises ConfigError where it does not fit."""
    plan = _plan(gemm, params)
    w_base = _aligned(plan.rows * plan.k_tiles * plan.vlen * BF16_BYTES)
    y_base = w_base + _aligned(plan.n_tiles * plan.k_tiles * plan.tile_elements * BF16_BYTES)
    lines = [f"; {gemm.m} x {gemm.k} times {gemm.k} x {gemm.n}"]
    for register, base in (("a1", 0), ("a0", w_base), ("a2", y_base)):
        lines += [*_set(1, base >> 12 >> 20), *_set(2, base & 0xFFFFFFFF), f"C_SET_ADDR_REG {register}, gp1, gp2"]
    done = 0
    for heights in plan.chunks:
        lines += _chunk(plan, heights, done)
        done += sum(heights)
    name = f"GEMM {gemm.m} x {gemm.n} x {gemm.k} on {params.name}"
    images = tuple((core * plan.columns,) for core in range(params.cores))
    header = Header(name=name, requires={"machine": params.name}, formats={"weights": "bf16"}, int_mem=images)
    return Program(instructions=tuple(assemble("\n".join(lines))), header=header)


def _plan(gemm: Gemm, params: MachineParams) -> _Plan:
    core = params.core
    if not core.mlen == core.vlen == core.blen:
        raise ConfigError(f"machine {params.name}: core.blen", core.blen, f"mlen = vlen = blen, such as {core.vlen}")
    blen = core.blen
    k_tiles, n_tiles, m_tiles = (-(-size // blen) for size in (gemm.k, gemm.n, gemm.m))
    if n_tiles % params.cores:
        raise ConfigError("n", gemm.n, f"column tiles of {blen} that {params.cores} cores share evenly")
    if 2 * k_tiles * blen * blen * BF16_BYTES > params.matrix_sram.capacity:
        raise ConfigError("k", gemm.k, f"two column tiles of W within {params.matrix_sram.capacity} B of Matrix SRAM")
    vectors = params.vector_sram.capacity // (core.vlen * BF16_BYTES)
    fit = vectors // (blen * (k_tiles + 2))
    if not fit:
        raise ConfigError("k", gemm.k, f"a row tile of X within {params.vector_sram.capacity} B of Vector SRAM")
    heights = [min(blen, gemm.m - first) for first in range(0, gemm.m, blen)]
    count = -(-m_tiles // fit)
    cuts = [m_tiles * index // count for index in range(count + 1)]
    chunks = tuple(tuple(heights[first:last]) for first, last in zip(cuts, cuts[1:], strict=False))
    return _Plan(
        blen=blen, vlen=core.vlen, k_tiles=k_tiles, n_tiles=n_tiles, columns=n_tiles // params.cores, chunks=chunks
    )


# Registers that live through a chunk: gp4 and gp6, offsets of the next W to fetch and of the next Y to store. The
# others are set where they are used.


def _chunk(plan: _Plan, heights: tuple[int, ...], done: int) -> list[str]:
    """All of the core's W times the chunk behind the first `done` rows."""
    rows = sum(heights)
    lines = ["S_LD_INT gp5, gp0, 0", *_set(1, plan.k_tiles * plan.tile_elements), "S_MUL_INT gp4, gp5, gp1"]
    lines += [*_set(1, rows * plan.vlen), "S_MUL_INT gp6, gp5, gp1"]
    lines += [*_set(1, done * plan.n_tiles * plan.vlen), "S_ADD_INT gp6, gp6, gp1"]
    lines += _first_column(plan, heights, done)
    fetching = max(0, plan.columns - 3)
    pairs = fetching // 2
    if pairs:
        lines.append(f"C_LOOP_START gp14, {pairs}")
        lines += [*_column(plan, heights, 1, ahead=True), *_column(plan, heights, 0, ahead=True), "C_LOOP_END gp14"]
    for index in range(1 + 2 * pairs, plan.columns):
        lines += _column(plan, heights, index % 2, ahead=index <= fetching)
    return lines


def _first_column(plan: _Plan, heights: tuple[int, ...], done: int) -> list[str]:
    """The first column tile of Y, after the fetches of all of X and of two column tiles of W."""
    lines: list[str] = []
    start = done * plan.k_tiles * plan.vlen
    for first, count in plan.pieces():
        here = first * heights[0] * plan.vlen
        lines += [*_fetch_rows(here, start + here, count * heights[0]), *_fetch(plan, 0, first, count)]
    for tile, height in enumerate(heights[1:], start=1):
        start += heights[tile - 1] * plan.k_tiles * plan.vlen
        lines += _fetch_rows(tile * plan.tile_vectors * plan.vlen, start, plan.k_tiles * height)
    for first, count in plan.pieces() if plan.columns > 1 else ():
        lines += _fetch(plan, 1, first, count)
    last = len(heights) - 1
    if last:
        lines += _tile(plan, heights, 0, 0, ahead=False)
    for tile in range(1, last):
        lines += [*_set(9, 0), *_set(10, tile * plan.tile_vectors * plan.vlen)]
        lines += [*_set(11, _result(plan, heights, tile, 0)), *_whole_tile(plan, heights[tile])]
    return lines + _tile(plan, heights, last, 0, ahead=plan.columns > 2)


def _column(plan: _Plan, heights: tuple[int, ...], parity: int, *, ahead: bool) -> list[str]:
    """One column tile of Y from the W tile of its parity; its last row tile makes place for W two columns ahead."""
    last = len(heights) - 1
    lines: list[str] = []
    if last:
        lines += [*_set(9, parity * plan.slot_cells), *_set(10, 0), *_set(11, _result(plan, heights, 0, parity))]
        lines += [*_set(12, plan.tile_vectors * plan.vlen), *_set(13, plan.blen * plan.vlen)]
        lines += [f"C_LOOP_START gp8, {last}", *_whole_tile(plan, plan.blen)]
        lines += ["S_ADD_INT gp10, gp10, gp12", "S_ADD_INT gp11, gp11, gp13", "C_LOOP_END gp8"]
    return lines + _tile(plan, heights, last, parity, ahead=ahead)


def _tile(plan: _Plan, heights: tuple[int, ...], tile: int, parity: int, *, ahead: bool) -> list[str]:
    """One tile of Y, piece by piece of its column tile of W, and what takes the place of each piece."""
    lines: list[str] = []
    for first, count in plan.pieces():
        vector = (tile * plan.tile_vectors + first * heights[tile]) * plan.vlen
        lines += [*_set(9, parity * plan.slot_cells + first * plan.tile_cells), *_set(10, vector)]
        lines += [*_tile_shape(heights[tile], count), "M_MM gp9, gp10"]
        lines += _fetch(plan, parity, first, count) if ahead else []
    return [*lines, *_set(11, _result(plan, heights, tile, parity)), *_store(plan, heights[tile])]


def _whole_tile(plan: _Plan, height: int) -> list[str]:
    """One tile of Y from Matrix[gp9] and Vector[gp10], by Vector[gp11]."""
    return [*_tile_shape(height, plan.k_tiles), "M_MM gp9, gp10", *_store(plan, height)]


def _tile_shape(height: int, count: int) -> list[str]:
    """Rows and k tiles of the tensor instructions that follow."""
    return [*_set(1, height), "C_SET_M_ROWS gp1", *_set(2, count), "C_SET_M_TILES gp2, gp1"]


def _store(plan: _Plan, height: int) -> list[str]:
    """Drain a tile's result to Vector[gp11] and store it behind the one before."""
    lines = ["M_MM_WO gp11, gp0, 0", *_set(1, height), "C_SET_H_ROWS gp1, gp0, gp0"]
    return [*lines, f"H_STORE_V gp11, gp6, a2, 0, {BF16}", *_set(1, height * plan.vlen), "S_ADD_INT gp6, gp6, gp1"]


def _result(plan: _Plan, heights: tuple[int, ...], tile: int, parity: int) -> int:
    """Where a tile of Y lies in Vector SRAM."""
    tiles = len(heights)
    return (tiles * plan.tile_vectors + (parity * tiles + tile) * plan.blen) * plan.vlen


def _fetch_rows(vector: int, hbm: int, rows: int) -> list[str]:
    lines = [*_set(1, rows), "C_SET_H_ROWS gp1, gp0, gp0", *_set(1, vector), *_set(2, hbm)]
    return [*lines, f"H_PREFETCH_V gp1, gp2, a1, 0, {BF16}"]


def _fetch(plan: _Plan, parity: int, first: int, count: int) -> list[str]:
    """The next `count` tiles of W, the first of which is k tile `first` of its column."""
    lines = [*_set(1, count), "C_SET_M_FETCH gp1, gp0", *_set(1, parity * plan.slot_cells + first * plan.tile_cells)]
    lines += ["H_PREFETCH_M gp1, gp4, a0, 0, 0", *_set(1, count * plan.tile_elements)]
    return [*lines, "S_ADD_INT gp4, gp4, gp1"]


def _set(register: int, value: int) -> list[str]:
    """Load a constant below 2^32."""
    high, low = value >> 12, value & 0xFFF
    if not high:
        return [f"S_ADDI_INT gp{register}, gp0, {low}"]
    lines = [f"S_LUI_INT gp{register}, {high}"]
    return lines + ([f"S_ADDI_INT gp{register}, gp{register}, {low}"] if low else [])


def _aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGN) * ALIGN
