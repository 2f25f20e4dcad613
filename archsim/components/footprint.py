"""Address ranges that instructions touch: the shapes named in the opcode table's `touches` column.

Each shape function takes the front end (whose sticky registers fix sizes), the instruction and the
address held by the footprint's register, and returns the half-open range in the space's unit:
elements for Vector SRAM, cells for Matrix SRAM, words for FP_MEM and INT_MEM, slots for scales.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from archsim.components.decode import Decoded
from archsim.components.frontend import FrontEnd
from archsim.errors import MemoryFault, ProgramFault

Shape: TypeAlias = Callable[[FrontEnd, Decoded, int], tuple[int, int]]


def _rows(front: FrontEnd, decoded: Decoded, low: int) -> tuple[int, int]:
    return low, low + ((front.v_rows - 1) * front.v_stride + 1) * front.geometry.vlen


def _rows2(front: FrontEnd, decoded: Decoded, low: int) -> tuple[int, int]:
    return low, low + ((front.v_rows - 1) * front.v_stride2 + 1) * front.geometry.vlen


def _one(front: FrontEnd, decoded: Decoded, low: int) -> tuple[int, int]:
    last = (front.m_tiles - 1) * front.m_stride if decoded.one_row and not decoded.touches[0].write else 0
    return low, low + (last + 1) * front.geometry.vlen


def _stats(front: FrontEnd, decoded: Decoded, low: int) -> tuple[int, int]:
    return low, low + front.v_rows * (front.geometry.vlen // front.segment)


def _tile(front: FrontEnd, decoded: Decoded, low: int) -> tuple[int, int]:
    return low, low + ((front.m_tiles - 1) * front.m_stride + front.m_rows) * front.geometry.vlen


def _block(front: FrontEnd, decoded: Decoded, low: int) -> tuple[int, int]:
    vlen = front.geometry.vlen
    low -= low % vlen
    return low, low + front.m_rows * vlen


def _weight(front: FrontEnd, decoded: Decoded, low: int) -> tuple[int, int]:
    return low, low + front.m_tiles * front.tile_weight


def _kv(front: FrontEnd, decoded: Decoded, low: int) -> tuple[int, int]:
    return low, low + front.m_tiles * front.tile_kv


def _word(front: FrontEnd, decoded: Decoded, low: int) -> tuple[int, int]:
    return low, low + 1


def length_of(front: FrontEnd, decoded: Decoded) -> int:
    """The length operand of a `len` instruction, 1..VLEN; gp0 stands for VLEN. Raises ProgramFault."""
    register, vlen = decoded.length_register, front.geometry.vlen
    if not register:
        return vlen
    length = front.value(register, decoded)
    if not 1 <= length <= vlen:
        raise ProgramFault(f"{front.path}: {decoded.place}: length {length}; expected 1..{vlen}")
    return length


def _len(front: FrontEnd, decoded: Decoded, low: int) -> tuple[int, int]:
    return low, low + length_of(front, decoded)


def _fetch_m(front: FrontEnd, decoded: Decoded, low: int) -> tuple[int, int]:
    tile = front.tile_kv if decoded.stream else front.tile_weight
    return low, low + front.fetch_tiles * tile


def transfer_rows(front: FrontEnd, decoded: Decoded, default: int) -> tuple[int, int, int, int]:
    """(rows, elements per row, column blocks, vectors between column blocks) of an H_ transfer."""
    rows = front.h_rows or default
    width = front.h_width or front.geometry.vlen
    return rows, width, -(-width // front.geometry.vlen), front.h_pitch or rows


def slot(front: FrontEnd, decoded: Decoded, low: int) -> tuple[int, int]:
    """One scale vector of the KV engine."""
    return low, low + 1


SHAPES: dict[str, Shape] = {
    "rows": _rows,
    "rows2": _rows2,
    "one": _one,
    "stats": _stats,
    "tile": _tile,
    "block": _block,
    "weight": _weight,
    "kv": _kv,
    "word": _word,
    "len": _len,
    "fetch_m": _fetch_m,
    "slot": slot,
}
"""Shapes whose range follows from registers alone; transfers compute theirs in `movement`."""

ALIGNED = frozenset(("rows", "rows2", "one", "tile"))
"""Shapes that start at a multiple of VLEN."""


def unaligned(front: FrontEnd, decoded: Decoded, low: int) -> MemoryFault:
    """The error for a vector address inside a vector."""
    return MemoryFault(
        f"{front.path}: {decoded.place}: Vector SRAM address {low}; expected a multiple of VLEN = {front.geometry.vlen}"
    )
