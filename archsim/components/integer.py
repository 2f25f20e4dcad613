"""Handlers of the instructions on integers and sticky registers, which the front end runs itself.

A handler either completes its instruction (and returns None) or returns a wait; after the wait the
instruction is tried again, unless the wait itself steps over it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

from archsim.components.decode import Decoded, Handler, Wait
from archsim.components.frontend import FrontEnd
from archsim.components.frontstate import WORD
from archsim.components.touches import LOAD, PRODUCT
from archsim.errors import ProgramFault
from archsim.isa.opcodes import PAGE_BITS


def done(front: FrontEnd, decoded: Decoded) -> None:
    """Account for an instruction that dispatch has executed, and go on to the next."""
    decoded.count += 1
    front.instructions += 1
    front.pc += 1
    front.time_ps += decoded.cost_ps


def set_register(front: FrontEnd, register: int, value: int | None) -> None:
    """Write an integer register, None being a value that depends on data; gp0 stays 0."""
    if register:
        front.registers[register] = value
        front.producers[register] = None


def _arithmetic(operation: Callable[[int, int], int], product: bool = False) -> Handler:
    """Handler of an operation on two registers. What `set_register` and `done` do is written out: sums are frequent."""

    def handler(front: FrontEnd, decoded: Decoded) -> Wait:
        rd, rs1, rs2 = decoded.values
        registers = front.registers
        left, right = registers[rs1], registers[rs2]
        value = None
        if left is None or right is None:
            for register in (rs1, rs2):
                if front.producers[register] is not None:
                    return front.wait_value(register)
        else:
            if product and front.log is not None:
                front.log.append((PRODUCT, left, right, False))
            value = operation(left, right)
            if not 0 <= value <= WORD:
                raise _overflow(front, decoded, value)
        if rd:
            registers[rd] = value
            front.producers[rd] = None
        decoded.count += 1
        front.instructions += 1
        front.pc += 1
        front.time_ps += decoded.cost_ps
        return None

    return handler


def _add_immediate(front: FrontEnd, decoded: Decoded) -> Wait:
    rd, rs1, immediate = decoded.values
    registers = front.registers
    value = registers[rs1]
    if value is None:
        if front.producers[rs1] is not None:
            return front.wait_value(rs1)
    else:
        value += immediate
        if value > WORD:
            raise _overflow(front, decoded, value)
    if rd:
        registers[rd] = value
        front.producers[rd] = None
    decoded.count += 1
    front.instructions += 1
    front.pc += 1
    front.time_ps += decoded.cost_ps
    return None


def _overflow(front: FrontEnd, decoded: Decoded, value: int) -> ProgramFault:
    return ProgramFault(f"{front.path}: {decoded.place}: result {value}; expected 0..2^32-1, integers do not wrap")


def _load_upper(front: FrontEnd, decoded: Decoded) -> Wait:
    value = decoded.values[1] << 12
    if value > WORD:
        raise _overflow(front, decoded, value)
    set_register(front, decoded.values[0], value)
    done(front, decoded)
    return None


def _load_int(front: FrontEnd, decoded: Decoded) -> Wait:
    rd, rs1, immediate = decoded.values
    address = front.value(rs1, decoded) + immediate
    if address >= len(front.int_mem):
        raise front.out_of_range(decoded, 3, address, address + 1)
    pending = front.boards[3].pending_writer(address, address + 1, front.time_ps)
    if pending is not None:
        return front.wait_int_mem(pending)
    value = front.int_mem[address]
    if front.log is not None:
        front.log.append((LOAD, address, -1 if value is None else value, False))
    set_register(front, rd, value)
    done(front, decoded)
    return None


def _set_address(front: FrontEnd, decoded: Decoded) -> Wait:
    rd, high, low = decoded.values
    front.bases[rd] = (front.value(high, decoded) << 32) + front.value(low, decoded)
    done(front, decoded)
    return None


def _set_address_page(front: FrontEnd, decoded: Decoded) -> Wait:
    rd, page = decoded.values
    front.bases[rd] = front.value(page, decoded) << PAGE_BITS
    done(front, decoded)
    return None


def _set_scale(front: FrontEnd, decoded: Decoded) -> Wait:
    front.scale = front.value(decoded.values[0], decoded)
    done(front, decoded)
    return None


def _set_scale_page(front: FrontEnd, decoded: Decoded) -> Wait:
    front.scale = front.value(decoded.values[0], decoded) << PAGE_BITS
    done(front, decoded)
    return None


def _set_stride(front: FrontEnd, decoded: Decoded) -> Wait:
    front.stride = front.value(decoded.values[0], decoded)
    done(front, decoded)
    return None


def _set_rows(front: FrontEnd, decoded: Decoded) -> Wait:
    rows, stride, stride2 = (front.value(register, decoded) for register in decoded.values)
    front.v_rows, front.v_stride, front.v_stride2 = _count(front, decoded, rows, "rows"), stride, stride2
    done(front, decoded)
    return None


def _count(front: FrontEnd, decoded: Decoded, value: int, what: str, top: int = WORD) -> int:
    if not 1 <= value <= top:
        expected = f"1..{top}" if top != WORD else "at least 1"
        raise ProgramFault(f"{front.path}: {decoded.place}: {value} {what}; expected {expected}")
    return value


def _set_nothing_timed(front: FrontEnd, decoded: Decoded) -> Wait:
    """Lane masks and head groups change values, never time; their counts must still be known."""
    for register in decoded.values:
        front.value(register, decoded)
    done(front, decoded)
    return None


def _set_segment(front: FrontEnd, decoded: Decoded) -> Wait:
    lanes = front.value(decoded.values[0], decoded)
    vlen = front.geometry.vlen
    if lanes < 1 or vlen % lanes:
        raise ProgramFault(f"{front.path}: {decoded.place}: segments of {lanes} lanes; expected a divisor of {vlen}")
    front.segment = lanes
    done(front, decoded)
    return None


def _set_tile_rows(front: FrontEnd, decoded: Decoded) -> Wait:
    rows = front.value(decoded.values[0], decoded)
    front.m_rows = _count(front, decoded, rows, "tile rows", front.geometry.blen)
    done(front, decoded)
    return None


def _set_tiles(front: FrontEnd, decoded: Decoded) -> Wait:
    tiles, stride = (front.value(register, decoded) for register in decoded.values)
    front.m_tiles, front.m_stride = _count(front, decoded, tiles, "tiles"), stride
    done(front, decoded)
    return None


def _set_fetch(front: FrontEnd, decoded: Decoded) -> Wait:
    tiles, elements = (front.value(register, decoded) for register in decoded.values)
    front.fetch_tiles, front.fetch_elements = _count(front, decoded, tiles, "tiles"), elements
    done(front, decoded)
    return None


def _set_transfer_rows(front: FrontEnd, decoded: Decoded) -> Wait:
    front.h_rows, front.h_width, front.h_pitch = (front.value(register, decoded) for register in decoded.values)
    done(front, decoded)
    return None


HANDLERS: dict[str, Handler] = {
    "S_ADD_INT": _arithmetic(operator.add),
    "S_SUB_INT": _arithmetic(operator.sub),
    "S_MUL_INT": _arithmetic(operator.mul, product=True),
    "S_ADDI_INT": _add_immediate,
    "S_LUI_INT": _load_upper,
    "S_LD_INT": _load_int,
    "C_SET_ADDR_REG": _set_address,
    "C_SET_ADDR_PAGE": _set_address_page,
    "C_SET_SCALE_REG": _set_scale,
    "C_SET_SCALE_PAGE": _set_scale_page,
    "C_SET_STRIDE_REG": _set_stride,
    "C_SET_V_MASK_REG": _set_nothing_timed,
    "C_SET_V_LANES": _set_nothing_timed,
    "C_SET_M_GROUP": _set_nothing_timed,
    "C_SET_V_ROWS": _set_rows,
    "C_SET_V_SEG": _set_segment,
    "C_SET_M_ROWS": _set_tile_rows,
    "C_SET_M_TILES": _set_tiles,
    "C_SET_M_FETCH": _set_fetch,
    "C_SET_H_ROWS": _set_transfer_rows,
}
"""Handlers by mnemonic; those of loops, phases and meetings are in `control`."""
