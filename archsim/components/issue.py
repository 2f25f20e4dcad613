"""Handlers that turn an instruction for a unit into an operation and put it in the unit's queue."""

from __future__ import annotations

from collections.abc import Callable

from archsim.components.decode import ALIGNED, ROUNDED, Decoded, Handler, Wait
from archsim.components.footprint import length_of, misplaced
from archsim.components.frontend import FrontEnd
from archsim.components.operation import Operation
from archsim.components.scoreboard import SpaceBoard
from archsim.components.touches import OPAQUE, STORE


def enter(front: FrontEnd, decoded: Decoded, operation: Operation) -> None:
    """Enter every footprint that follows from registers, and the f registers, in the scoreboard."""
    now, log, loaded = front.time_ps, front.log, front.loaded
    registers, boards, limits = front.registers, front.boards, front.limits
    for space, write, register, offset, size_of, start in decoded.footprints:
        low = registers[register]
        if low is None:
            low = front.value(register, decoded)
        low += offset
        size = size_of(front, decoded)
        if log is not None:
            log.append((space, low, size, write))
        if start == ROUNDED:
            low -= low % front.geometry.vlen
        high = low + size
        if high > limits[space] or (start == ALIGNED and low % front.geometry.vlen):
            raise misplaced(front, decoded, space, low, high)
        if write:
            boards[space].write(low, high, operation, now)
        else:
            boards[space].read(low, high, operation, now)
        if loaded is not None and space < 2:
            known = loaded[space]
            if low < known.low or high > known.high:
                front.check_loaded(decoded, space, write, low, high)
    if decoded.registers_read or decoded.registers_written:
        _enter_registers(boards[6], decoded, operation, now)


def _enter_registers(board: SpaceBoard, decoded: Decoded, operation: Operation, now: int) -> None:
    for register in decoded.registers_read:
        board.read(register, register + 1, operation, now)
    for register in decoded.registers_written:
        board.write(register, register + 1, operation, now)


def push(front: FrontEnd, decoded: Decoded, operation: Operation, queue: int) -> Wait:
    """Hand the operation to its queue; the instruction has been dispatched."""
    front.phase.pending += 1
    front.last[queue] = operation
    front.queues[queue].push(operation)
    decoded.count += 1
    front.instructions += 1
    front.pc += 1
    if front.serial:
        return front.wait_serial(operation)
    front.time_ps += front.period_ps
    return None


def queued(fill: Callable[[FrontEnd, Decoded, Operation], None]) -> Handler:
    """Handler of instructions whose unit has one queue: wait for room, `fill` an operation in, push it."""

    def handler(front: FrontEnd, decoded: Decoded) -> Wait:
        queue = front.queues[decoded.queue]
        if len(queue.items) >= queue.depth:
            return front.wait_room(queue, decoded)
        operation = Operation(decoded, front.time_ps, front.phase)
        fill(front, decoded, operation)
        return push(front, decoded, operation, decoded.queue)

    return handler


def _vector(front: FrontEnd, decoded: Decoded) -> Wait:
    unit = front.next_vector
    queue = front.queues[decoded.queue + unit]
    if len(queue.items) >= queue.depth:
        return front.wait_room(queue, decoded)
    operation = Operation(decoded, front.time_ps, front.phase)
    if decoded.length_cost is not None:
        operation.latency, operation.cycles = decoded.length_cost.cycles({"len": length_of(front, decoded)})
        rows = 1
    else:
        rows = front.v_rows
        operation.cycles = rows * decoded.interval
        operation.latency = operation.cycles + decoded.latency - decoded.interval
    operation.rows_a = rows * decoded.port_a
    operation.rows_b = rows * decoded.port_b
    _depend_on_integers(front, decoded, operation)
    if decoded.mnemonic == "V_RED_MAX_IDX":
        _produce(front, decoded, operation)
    enter(front, decoded, operation)
    decoded.busy += operation.cycles
    front.phase.totals.vector_cycles += operation.cycles
    front.next_vector = (unit + 1) % front.vector_units
    return push(front, decoded, operation, decoded.queue + unit)


def _depend_on_integers(front: FrontEnd, decoded: Decoded, operation: Operation) -> None:
    """Integers that other units produce go from unit to unit; dispatch does not wait for them."""
    for register in decoded.integers_read:
        producer = front.producers[register]
        if producer is not None:
            operation.depends.append(producer)


def _produce(front: FrontEnd, decoded: Decoded, operation: Operation) -> None:
    """A register gets a value that only the unit knows."""
    register = decoded.values[0]
    if register:
        front.registers[register] = None
        front.producers[register] = operation


def _tensor(front: FrontEnd, decoded: Decoded) -> Wait:
    unit = front.accumulating
    queue = front.queues[decoded.queue + unit]
    if len(queue.items) >= queue.depth:
        return front.wait_room(queue, decoded)
    operation = Operation(decoded, front.time_ps, front.phase)
    writes = decoded.touches[0].write
    tiles = 1 if writes else front.m_tiles
    operation.cycles = tiles * decoded.interval
    operation.latency = operation.cycles + decoded.latency - decoded.interval
    operation.rows_b = tiles if decoded.one_row else tiles * front.m_rows
    enter(front, decoded, operation)
    decoded.busy += operation.cycles
    front.phase.totals.tensor_cycles += operation.cycles
    if writes:
        # The accumulation is complete; the next one may go to another core's array.
        front.accumulating = (unit + 1) % front.tensor_units
    return push(front, decoded, operation, decoded.queue + unit)


@queued
def _scalar(front: FrontEnd, decoded: Decoded, operation: Operation) -> None:
    if decoded.length_cost is None:
        operation.latency, operation.cycles = decoded.latency, decoded.interval
    else:
        operation.latency, operation.cycles = decoded.length_cost.cycles({"len": length_of(front, decoded)})
    operation.rows_a, operation.rows_b = decoded.port_a, decoded.port_b
    _depend_on_integers(front, decoded, operation)
    enter(front, decoded, operation)
    _integer_effects(front, decoded)
    decoded.busy += operation.cycles


def _integer_effects(front: FrontEnd, decoded: Decoded) -> None:
    """INT_MEM contents follow program order; what depends on data becomes unknown."""
    if decoded.mnemonic == "S_ST_INT":
        source, base, immediate = decoded.values
        value = front.registers[source]
        address = front.value(base, decoded) + immediate
        front.int_mem[address] = value
        if front.log is not None:
            if value is None:
                front.log.append((OPAQUE, address, 1, True))
            else:
                front.stored.add(address)
                front.log.append((STORE, address, value, True))
    elif decoded.mnemonic == "S_SELECT_INT":
        low = front.value(decoded.values[0], decoded)
        length = length_of(front, decoded)
        front.int_mem[low : low + length] = [None] * length
        if front.log is not None:
            front.log.append((OPAQUE, low, length, True))


HANDLERS: dict[str, Handler] = {"vector": _vector, "tensor": _tensor, "scalar": _scalar}
"""Handlers by unit; those of kv, dma and net are in `movement`."""
