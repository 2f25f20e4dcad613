"""Address ranges that instructions touch: the shapes named in the opcode table's `touches` column.

Each shape function takes the front end (whose sticky registers fix sizes) and the instruction, and
returns how much of the space the footprint covers, in the space's unit: elements for Vector SRAM,
cells for Matrix SRAM, words for FP_MEM and INT_MEM, slots for scales.
"""

from __future__ import annotations

from archsim.components.decode import ALIGNED, ANYWHERE, ROUNDED, Decoded, Footprint, SizeOf
from archsim.components.frontend import FrontEnd
from archsim.errors import MemoryFault, ProgramFault


def _rows(front: FrontEnd, decoded: Decoded) -> int:
    return ((front.v_rows - 1) * front.v_stride + 1) * front.geometry.vlen


def _rows2(front: FrontEnd, decoded: Decoded) -> int:
    return ((front.v_rows - 1) * front.v_stride2 + 1) * front.geometry.vlen


def _one(front: FrontEnd, decoded: Decoded) -> int:
    last = (front.m_tiles - 1) * front.m_stride if decoded.one_row and not decoded.touches[0].write else 0
    return (last + 1) * front.geometry.vlen


def _stats(front: FrontEnd, decoded: Decoded) -> int:
    return front.v_rows * (front.geometry.vlen // front.segment)


def _tile(front: FrontEnd, decoded: Decoded) -> int:
    return ((front.m_tiles - 1) * front.m_stride + front.m_rows) * front.geometry.vlen


def _block(front: FrontEnd, decoded: Decoded) -> int:
    return front.m_rows * front.geometry.vlen


def _weight(front: FrontEnd, decoded: Decoded) -> int:
    return front.m_tiles * front.tile_weight


def _kv(front: FrontEnd, decoded: Decoded) -> int:
    return front.m_tiles * front.tile_kv


def _single(front: FrontEnd, decoded: Decoded) -> int:
    return 1


def length_of(front: FrontEnd, decoded: Decoded) -> int:
    """The length operand of a `len` instruction, 1..VLEN; gp0 stands for VLEN. Raises ProgramFault."""
    register, vlen = decoded.length_register, front.geometry.vlen
    if not register:
        return vlen
    length = front.value(register, decoded)
    if not 1 <= length <= vlen:
        raise ProgramFault(f"{front.path}: {decoded.place}: length {length}; expected 1..{vlen}")
    return length


def _fetch_m(front: FrontEnd, decoded: Decoded) -> int:
    return front.fetch_tiles * (front.tile_kv if decoded.stream else front.tile_weight)


def transfer_rows(front: FrontEnd, decoded: Decoded, default: int) -> tuple[int, int, int, int]:
    """(rows, elements per row, column blocks, vectors between column blocks) of an H_ transfer."""
    rows = front.h_rows or default
    width = front.h_width or front.geometry.vlen
    return rows, width, -(-width // front.geometry.vlen), front.h_pitch or rows


SHAPES: dict[str, tuple[SizeOf, int]] = {
    "rows": (_rows, ALIGNED),
    "rows2": (_rows2, ALIGNED),
    "one": (_one, ALIGNED),
    "stats": (_stats, ANYWHERE),
    "tile": (_tile, ALIGNED),
    "block": (_block, ROUNDED),
    "weight": (_weight, ANYWHERE),
    "kv": (_kv, ANYWHERE),
    "word": (_single, ANYWHERE),
    "len": (length_of, ANYWHERE),
    "fetch_m": (_fetch_m, ANYWHERE),
    "slot": (_single, ANYWHERE),
}
"""Size and start of the shapes that follow from registers alone; transfers compute theirs in `movement`."""


def footprints(decoded: Decoded) -> tuple[Footprint, ...]:
    """What an instruction touches on the chip, where that follows from registers alone."""
    return tuple(
        Footprint(touch.space, touch.write, touch.register, touch.offset, *SHAPES[touch.shape])
        for touch in decoded.touches
        if touch.shape in SHAPES
    )


def unaligned(front: FrontEnd, decoded: Decoded, low: int) -> MemoryFault:
    """The error for a vector address inside a vector."""
    return MemoryFault(
        f"{front.path}: {decoded.place}: Vector SRAM address {low}; expected a multiple of VLEN = {front.geometry.vlen}"
    )


def misplaced(front: FrontEnd, decoded: Decoded, space: int, low: int, high: int) -> MemoryFault:
    """The error for a footprint that goes beyond its memory, or does not start where it must."""
    if high > front.limits[space]:
        return front.out_of_range(decoded, space, low, high)
    return unaligned(front, decoded, low)
