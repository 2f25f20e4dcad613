"""Handlers of the instructions that the front end runs itself: integers, loops, sticky registers.

A handler either completes its instruction (and returns None) or returns a wait; after the wait the
instruction is tried again, unless the wait itself steps over it.
"""

from __future__ import annotations

from archsim.components.decode import Decoded, Handler, Wait
from archsim.components.frontend import FrontEnd
from archsim.components.frontstate import WORD
from archsim.components.touches import LOAD, PRODUCT
from archsim.errors import ProgramFault
from archsim.isa.opcodes import PAGE_BITS

_WORD = WORD


def _done(front: FrontEnd, decoded: Decoded) -> None:
    decoded.count += 1
    front.instructions += 1
    front.pc += 1
    cost = decoded.interval * front.period_ps
    front.time_ps += cost
    front.busy_ps += cost


def _set(front: FrontEnd, register: int, value: int | None) -> None:
    if register:
        front.registers[register] = value
        front.producers[register] = None


def _arithmetic(front: FrontEnd, decoded: Decoded) -> Wait:
    rd, rs1, rs2 = decoded.values
    for register in (rs1, rs2):
        if front.producers[register] is not None:
            return front.wait_value(register)
    left, right = front.registers[rs1], front.registers[rs2]
    result = None
    if left is not None and right is not None:
        if front.log is not None and decoded.mnemonic == "S_MUL_INT":
            front.log.append((PRODUCT, left, right, False))
        result = _check_word(front, decoded, _OPERATIONS[decoded.mnemonic](left, right))
    _set(front, rd, result)
    _done(front, decoded)
    return None


_OPERATIONS = {
    "S_ADD_INT": lambda left, right: left + right,
    "S_SUB_INT": lambda left, right: left - right,
    "S_MUL_INT": lambda left, right: left * right,
}


def _check_word(front: FrontEnd, decoded: Decoded, value: int) -> int:
    if not 0 <= value <= _WORD:
        raise ProgramFault(f"{front.path}: {decoded.place}: result {value}; expected 0..2^32-1, integers do not wrap")
    return value


def _add_immediate(front: FrontEnd, decoded: Decoded) -> Wait:
    rd, rs1, immediate = decoded.values
    value = front.registers[rs1]
    if value is None:
        if front.producers[rs1] is not None:
            return front.wait_value(rs1)
    else:
        value += immediate
        if value > _WORD:
            _check_word(front, decoded, value)
    if rd:
        front.registers[rd] = value
        front.producers[rd] = None
    decoded.count += 1
    front.instructions += 1
    front.pc += 1
    cost = decoded.interval * front.period_ps
    front.time_ps += cost
    front.busy_ps += cost
    return None


def _load_upper(front: FrontEnd, decoded: Decoded) -> Wait:
    _set(front, decoded.values[0], _check_word(front, decoded, decoded.values[1] << 12))
    _done(front, decoded)
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
    _set(front, rd, value)
    _done(front, decoded)
    return None


def _loop_start(front: FrontEnd, decoded: Decoded) -> Wait:
    register, count = decoded.values
    if decoded.mnemonic == "C_LOOP_START_R":
        count = front.value(count, decoded)
    _set(front, register, count)
    _done(front, decoded)
    if count:
        front.loops.append(count)
    else:
        front.pc = decoded.jump
    return None


def _loop_end(front: FrontEnd, decoded: Decoded) -> Wait:
    left = front.loops[-1] - 1
    register = decoded.values[0]
    if register:
        front.registers[register] = left
        front.producers[register] = None
    decoded.count += 1
    front.instructions += 1
    cost = decoded.interval * front.period_ps
    front.time_ps += cost
    front.busy_ps += cost
    if decoded.heavy and front.replayer is not None:
        if left:
            front.replayer.iteration_ended(front, decoded)
            left = front.loops[-1] - 1
        if not left:
            front.replayer.loop_ended(front, decoded)
    if left:
        front.loops[-1] = left
        front.pc = decoded.jump
    else:
        front.loops.pop()
        front.pc += 1
    return None


def _end_program(front: FrontEnd, decoded: Decoded) -> Wait:
    _done(front, decoded)
    front.pc = len(front.code)
    return None


def _set_address(front: FrontEnd, decoded: Decoded) -> Wait:
    rd, high, low = decoded.values
    front.bases[rd] = (front.value(high, decoded) << 32) + front.value(low, decoded)
    _done(front, decoded)
    return None


def _set_address_page(front: FrontEnd, decoded: Decoded) -> Wait:
    rd, page = decoded.values
    front.bases[rd] = front.value(page, decoded) << PAGE_BITS
    _done(front, decoded)
    return None


def _set_scale(front: FrontEnd, decoded: Decoded) -> Wait:
    front.scale = front.value(decoded.values[0], decoded)
    _done(front, decoded)
    return None


def _set_scale_page(front: FrontEnd, decoded: Decoded) -> Wait:
    front.scale = front.value(decoded.values[0], decoded) << PAGE_BITS
    _done(front, decoded)
    return None


def _set_stride(front: FrontEnd, decoded: Decoded) -> Wait:
    front.stride = front.value(decoded.values[0], decoded)
    _done(front, decoded)
    return None


def _set_rows(front: FrontEnd, decoded: Decoded) -> Wait:
    rows, stride, stride2 = (front.value(register, decoded) for register in decoded.values)
    front.v_rows, front.v_stride, front.v_stride2 = _count(front, decoded, rows, "rows"), stride, stride2
    _done(front, decoded)
    return None


def _count(front: FrontEnd, decoded: Decoded, value: int, what: str, top: int = _WORD) -> int:
    if not 1 <= value <= top:
        expected = f"1..{top}" if top != _WORD else "at least 1"
        raise ProgramFault(f"{front.path}: {decoded.place}: {value} {what}; expected {expected}")
    return value


def _set_nothing_timed(front: FrontEnd, decoded: Decoded) -> Wait:
    """Lane masks and head groups change values, never time; their counts must still be known."""
    for register in decoded.values:
        front.value(register, decoded)
    _done(front, decoded)
    return None


def _set_segment(front: FrontEnd, decoded: Decoded) -> Wait:
    lanes = front.value(decoded.values[0], decoded)
    vlen = front.geometry.vlen
    if lanes < 1 or vlen % lanes:
        raise ProgramFault(f"{front.path}: {decoded.place}: segments of {lanes} lanes; expected a divisor of {vlen}")
    front.segment = lanes
    _done(front, decoded)
    return None


def _set_tile_rows(front: FrontEnd, decoded: Decoded) -> Wait:
    rows = front.value(decoded.values[0], decoded)
    front.m_rows = _count(front, decoded, rows, "tile rows", front.geometry.blen)
    _done(front, decoded)
    return None


def _set_tiles(front: FrontEnd, decoded: Decoded) -> Wait:
    tiles, stride = (front.value(register, decoded) for register in decoded.values)
    front.m_tiles, front.m_stride = _count(front, decoded, tiles, "tiles"), stride
    _done(front, decoded)
    return None


def _set_fetch(front: FrontEnd, decoded: Decoded) -> Wait:
    tiles, elements = (front.value(register, decoded) for register in decoded.values)
    front.fetch_tiles, front.fetch_elements = _count(front, decoded, tiles, "tiles"), elements
    _done(front, decoded)
    return None


def _set_transfer_rows(front: FrontEnd, decoded: Decoded) -> Wait:
    front.h_rows, front.h_width, front.h_pitch = (front.value(register, decoded) for register in decoded.values)
    _done(front, decoded)
    return None


def _phase(front: FrontEnd, decoded: Decoded) -> Wait:
    index = decoded.values[0] + 1
    if index >= len(front.ledger.totals):
        names = len(front.ledger.totals) - 1
        raise ProgramFault(f"{front.path}: {decoded.place}: phase {index - 1}; expected one of the header's {names}")
    front.enter_phase(index)
    decoded.count += 1
    front.pc += 1
    return None


def _wait_idle(front: FrontEnd, decoded: Decoded) -> Wait:
    decoded.count += 1
    return front.wait_idle()


def _barrier(front: FrontEnd, decoded: Decoded) -> Wait:
    number, count = (front.value(register, decoded) for register in decoded.values)
    decoded.count += 1
    return front.wait_barrier(number, count)


def _net_wait(front: FrontEnd, decoded: Decoded) -> Wait:
    wanted = front.value(decoded.values[0], decoded)
    decoded.count += 1
    return front.wait_receipts(wanted)


HANDLERS: dict[str, Handler] = {
    "S_ADD_INT": _arithmetic,
    "S_SUB_INT": _arithmetic,
    "S_MUL_INT": _arithmetic,
    "S_ADDI_INT": _add_immediate,
    "S_LUI_INT": _load_upper,
    "S_LD_INT": _load_int,
    "C_LOOP_START": _loop_start,
    "C_LOOP_START_R": _loop_start,
    "C_LOOP_END": _loop_end,
    "C_BREAK": _end_program,
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
    "C_PHASE": _phase,
    "C_WAIT_IDLE": _wait_idle,
    "C_BARRIER": _barrier,
    "N_WAIT": _net_wait,
}
"""Front-end instructions by mnemonic."""
