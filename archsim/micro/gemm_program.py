"""A dense matrix product as a program for one core: operands from HBM, results to HBM, all BF16.

Layout in HBM, chosen so that every transfer is one contiguous piece: X by row tiles [row tile][k tile][row][lane],
W by column tiles [n tile][k tile][tile], Y by column tiles [chunk][n tile][row][lane]. Rows go in chunks
that fit Vector SRAM beside two column tiles of Y; W streams through once for each chunk, one column
tile ahead of its use. Sizes that are no multiples of the array are padded.
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


@attrs.frozen(kw_only=True)
class _Plan:
    """Sizes in tiles and vectors."""

    blen: int
    vlen: int
    k_tiles: int
    n_tiles: int
    chunks: tuple[int, ...]
    """Rows of every chunk, padded to whole tiles."""

    @property
    def row_tile_vectors(self) -> int:
        """Vectors of a row tile of X."""
        return self.k_tiles * self.blen

    @property
    def slot_cells(self) -> int:
        """Matrix SRAM cells of a column tile of W."""
        return self.k_tiles * self.vlen * self.blen * FORMATS["bf16"].cells


def gemm_program(gemm: Gemm, params: MachineParams) -> Program:
    """The product on `params`, whose core must have MLEN = VLEN = BLEN; raises ConfigError where it does not fit."""
    plan = _plan(gemm, params)
    vector_bytes = plan.vlen * BF16_BYTES
    x_bytes = sum(plan.chunks) // plan.blen * plan.row_tile_vectors * vector_bytes
    w_bytes = plan.n_tiles * plan.k_tiles * plan.vlen * plan.blen * BF16_BYTES
    w_base = _aligned(x_bytes)
    y_base = w_base + _aligned(w_bytes)
    lines = [f"; {gemm.m} x {gemm.k} times {gemm.k} x {gemm.n}"]
    for register, base in (("a1", 0), ("a0", w_base), ("a2", y_base)):
        lines += [*_set(1, base >> 12 >> 20), *_set(2, base & 0xFFFFFFFF), f"C_SET_ADDR_REG {register}, gp1, gp2"]
    done = 0
    for rows in plan.chunks:
        lines += _chunk(plan, rows, done)
        done += rows
    name = f"GEMM {gemm.m} x {gemm.n} x {gemm.k} on {params.name}"
    header = Header(name=name, requires={"machine": params.name}, formats={"weights": "bf16"})
    return Program(instructions=tuple(assemble("\n".join(lines))), header=header)


def _plan(gemm: Gemm, params: MachineParams) -> _Plan:
    core = params.core
    if not core.mlen == core.vlen == core.blen:
        raise ConfigError(f"machine {params.name}: core.blen", core.blen, f"mlen = vlen = blen, such as {core.vlen}")
    blen = core.blen
    k_tiles, n_tiles, m_tiles = (-(-size // blen) for size in (gemm.k, gemm.n, gemm.m))
    if 2 * k_tiles * blen * blen * BF16_BYTES > params.matrix_sram.capacity:
        raise ConfigError("k", gemm.k, f"two column tiles of W within {params.matrix_sram.capacity} B of Matrix SRAM")
    vectors = params.vector_sram.capacity // (core.vlen * BF16_BYTES)
    fit = vectors // (blen * (k_tiles + 2))
    if not fit:
        raise ConfigError("k", gemm.k, f"a row tile of X within {params.vector_sram.capacity} B of Vector SRAM")
    count = -(-m_tiles // fit)
    sizes = [m_tiles // count + (index < m_tiles % count) for index in range(count)]
    return _Plan(
        blen=blen, vlen=core.vlen, k_tiles=k_tiles, n_tiles=n_tiles, chunks=tuple(size * blen for size in sizes)
    )


def _chunk(plan: _Plan, rows: int, done: int) -> list[str]:
    """All of W times the chunk of `rows` rows behind the first `done`."""
    tiles, tile = rows // plan.blen, plan.row_tile_vectors * plan.vlen
    lines = [*_set(1, plan.row_tile_vectors), "C_SET_H_ROWS gp1, gp0, gp0"]
    lines += [*_set(3, plan.k_tiles), "C_SET_M_FETCH gp3, gp0", *_set(5, plan.blen), "C_SET_M_TILES gp3, gp5"]
    # gp4: offset of the next column tile of W; gp6: of Y; gp7, gp8: steps of both.
    lines += [*_set(4, 0), *_set(6, done * plan.n_tiles * plan.vlen)]
    lines += [*_set(7, plan.k_tiles * plan.vlen * plan.blen), *_set(8, rows * plan.vlen)]
    for index in range(tiles):
        lines += [*_set(1, index * tile), *_set(2, done // plan.blen * tile + index * tile)]
        lines += [f"H_PREFETCH_V gp1, gp2, a1, 0, {BF16}"]
        lines += _fetch(plan, 0) if index == 0 else []
    lines += [*_set(1, rows), "C_SET_H_ROWS gp1, gp0, gp0"]
    pairs, odd = divmod(plan.n_tiles, 2)
    if pairs > 1:
        lines += [*_set(15, pairs - 1), "C_LOOP_START_R gp14, gp15"]
        lines += [*_column(plan, tiles, 0, ahead=True), *_column(plan, tiles, 1, ahead=True), "C_LOOP_END gp14"]
    if pairs:
        lines += [*_column(plan, tiles, 0, ahead=True), *_column(plan, tiles, 1, ahead=bool(odd))]
    return lines + (_column(plan, tiles, 0, ahead=False) if odd else [])


def _column(plan: _Plan, tiles: int, parity: int, *, ahead: bool) -> list[str]:
    """One column tile of Y from the W tile of its parity, the next one being fetched meanwhile."""
    rows = tiles * plan.blen
    result = (tiles * plan.row_tile_vectors + parity * rows) * plan.vlen
    lines = _fetch(plan, 1 - parity) if ahead else []
    lines += [*_set(9, parity * plan.slot_cells), *_set(10, 0), *_set(11, result)]
    lines += [*_set(12, plan.row_tile_vectors * plan.vlen), *_set(13, plan.blen * plan.vlen)]
    lines += [f"C_LOOP_START gp2, {tiles}", "M_MM gp9, gp10", "M_MM_WO gp11, gp0, 0"]
    lines += ["S_ADD_INT gp10, gp10, gp12", "S_ADD_INT gp11, gp11, gp13", "C_LOOP_END gp2"]
    lines += [*_set(11, result), f"H_STORE_V gp11, gp6, a2, 0, {BF16}", "S_ADD_INT gp6, gp6, gp8"]
    return lines


def _fetch(plan: _Plan, parity: int) -> list[str]:
    slot = _set(1, parity * plan.slot_cells)
    return [*slot, "H_PREFETCH_M gp1, gp4, a0, 0, 0", "S_ADD_INT gp4, gp4, gp7"]


def _set(register: int, value: int) -> list[str]:
    """Load a constant below 2^32."""
    high, low = value >> 12, value & 0xFFF
    if not high:
        return [f"S_ADDI_INT gp{register}, gp0, {low}"]
    lines = [f"S_LUI_INT gp{register}, {high}"]
    return lines + ([f"S_ADDI_INT gp{register}, gp{register}, {low}"] if low else [])


def _aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGN) * ALIGN
