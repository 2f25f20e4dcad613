"""Instructions of the front end: integers, loops, sticky registers. They take effect at once.

Functions take the core and the call. Instructions about time alone (phases, barriers, waits) have
`nothing`; who runs a program sees to them.
"""

from __future__ import annotations

from archsim.isa.opcodes import PAGE_BITS
from archsim.isa.semantics.state import Call, CoreState

WORD = 0xFFFFFFFF
"""Largest integer of a register; integers do not wrap."""


def _set(core: CoreState, call: Call, value: int) -> None:
    if not 0 <= value <= WORD:
        core.wrong(call, f"result {value}; expected 0..2^32-1, integers do not wrap")
    register = call.step.values[0]
    if register:
        core.gp[register] = value


def add(core: CoreState, call: Call) -> None:
    """rd = rs1 + rs2, where rs2 may be an immediate."""
    _, left, right = call.arguments
    _set(core, call, left + right)


def subtract(core: CoreState, call: Call) -> None:
    """rd = rs1 - rs2."""
    _, left, right = call.arguments
    _set(core, call, left - right)


def multiply(core: CoreState, call: Call) -> None:
    """rd = rs1 * rs2."""
    _, left, right = call.arguments
    _set(core, call, left * right)


def load_upper(core: CoreState, call: Call) -> None:
    """rd = imm << 12."""
    _set(core, call, call.arguments[1] << 12)


def load_int(core: CoreState, call: Call) -> None:
    """rd = INT_MEM[rs1 + imm]."""
    _, address, offset = call.arguments
    _set(core, call, int(core.read_ints(call, address + offset, 1)[0]))


def loop_start(core: CoreState, call: Call) -> None:
    """Begin a loop; rd holds the trips that are left. A loop of no trips is not entered."""
    count = call.arguments[1]
    _set(core, call, count)
    if count:
        core.loops.append(count)


def loop_end(core: CoreState, call: Call) -> None:
    """Count a trip; the loop is over where none is left. The result is what is left."""
    left = core.loops.pop() - 1
    _set(core, call, left)
    call.result = left
    if left:
        core.loops.append(left)


def nothing(core: CoreState, call: Call) -> None:
    """No effect on values."""


def set_address(core: CoreState, call: Call) -> None:
    """a = rs1 * 2^32 + rs2."""
    register, high, low = call.arguments
    core.bases[register] = (high << 32) + low


def set_address_page(core: CoreState, call: Call) -> None:
    """a = rs1 * 4096."""
    register, page = call.arguments
    core.bases[register] = page << PAGE_BITS


def set_scale(core: CoreState, call: Call) -> None:
    """Scales lie this many bytes behind the base."""
    core.sticky = core.sticky._replace(scale=call.arguments[0])


def set_scale_page(core: CoreState, call: Call) -> None:
    """Scales lie this many times 4096 bytes behind the base."""
    core.sticky = core.sticky._replace(scale=call.arguments[0] << PAGE_BITS)


def set_stride(core: CoreState, call: Call) -> None:
    """HBM pitch of strided transfers and of cache rows, in elements."""
    core.sticky = core.sticky._replace(stride=call.arguments[0])


def set_mask(core: CoreState, call: Call) -> None:
    """Bit i stands for segment i of HLEN lanes, in instructions with rmask = 1."""
    core.sticky = core.sticky._replace(mask=call.arguments[0])


def set_rows(core: CoreState, call: Call) -> None:
    """Rows of vector instructions and the distances between them."""
    rows, stride, stride2 = call.arguments
    _at_least_one(core, call, rows, "rows")
    core.sticky = core.sticky._replace(v_rows=rows, v_stride=stride, v_stride2=stride2)


def set_lanes(core: CoreState, call: Call) -> None:
    """Lanes that count in reductions."""
    lanes, last = call.arguments
    if lanes > core.shape.vlen:
        core.wrong(call, f"{lanes} lanes; expected 0..{core.shape.vlen}")
    core.sticky = core.sticky._replace(lanes=lanes, last_only=bool(last))


def set_segment(core: CoreState, call: Call) -> None:
    """Lanes of a segment."""
    lanes, vlen = call.arguments[0], core.shape.vlen
    if lanes < 1 or vlen % lanes:
        core.wrong(call, f"segments of {lanes} lanes; expected a divisor of {vlen}")
    core.sticky = core.sticky._replace(segment=lanes)


def set_tile_rows(core: CoreState, call: Call) -> None:
    """Rows of a tensor tile."""
    rows = call.arguments[0]
    if not 1 <= rows <= core.shape.blen:
        core.wrong(call, f"{rows} tile rows; expected 1..{core.shape.blen}")
    core.sticky = core.sticky._replace(m_rows=rows)


def set_tiles(core: CoreState, call: Call) -> None:
    """Tiles along the reduction, and vectors from one to the next."""
    tiles, stride = call.arguments
    _at_least_one(core, call, tiles, "tiles")
    core.sticky = core.sticky._replace(m_tiles=tiles, m_stride=stride)


def set_group(core: CoreState, call: Call) -> None:
    """Query heads per KV head, and the first packed one."""
    group, first = call.arguments
    _at_least_one(core, call, group, "query heads per KV head")
    core.sticky = core.sticky._replace(group=group, first_head=first)


def set_fetch(core: CoreState, call: Call) -> None:
    """Tiles of a matrix fetch and the elements of each."""
    tiles, elements = call.arguments
    _at_least_one(core, call, tiles, "tiles")
    core.sticky = core.sticky._replace(fetch_tiles=tiles, fetch_elements=elements)


def set_transfer(core: CoreState, call: Call) -> None:
    """Rows of vector transfers, elements of a row, distance of column blocks on chip."""
    rows, width, pitch = call.arguments
    core.sticky = core.sticky._replace(h_rows=rows, h_width=width, h_pitch=pitch)


def _at_least_one(core: CoreState, call: Call, value: int, what: str) -> None:
    if value < 1:
        core.wrong(call, f"{value} {what}; expected at least 1")
