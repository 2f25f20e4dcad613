"""Handlers of loops, phase markers, and the instructions that wait for units or other cores.

See `integer` for what a handler does.
"""

from __future__ import annotations

from archsim.components.decode import Decoded, Handler, Wait
from archsim.components.frontend import FrontEnd
from archsim.components.integer import done, set_register
from archsim.errors import ProgramFault


def _loop_start(front: FrontEnd, decoded: Decoded) -> Wait:
    register, count = decoded.values
    if decoded.mnemonic == "C_LOOP_START_R":
        count = front.value(count, decoded)
    set_register(front, register, count)
    done(front, decoded)
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
    front.time_ps += decoded.cost_ps
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
    done(front, decoded)
    front.pc = len(front.code)
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
    "C_LOOP_START": _loop_start,
    "C_LOOP_START_R": _loop_start,
    "C_LOOP_END": _loop_end,
    "C_BREAK": _end_program,
    "C_PHASE": _phase,
    "C_WAIT_IDLE": _wait_idle,
    "C_BARRIER": _barrier,
    "N_WAIT": _net_wait,
}
"""Handlers by mnemonic."""
