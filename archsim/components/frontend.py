"""Dispatch: runs integer and control instructions itself and feeds the units' queues in order.

The front end keeps its own local time, which may be ahead of the kernel's: as long as no queue is
full and no value is missing, what it does depends on program order alone, so it needs no event. It
meets the kernel again where it has to wait. Pushes carry the local time; units never start earlier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from archsim.components.decode import SPACE_NAMES, Decoded, Formats
from archsim.components.fetch import InstructionFetch
from archsim.components.operation import Operation
from archsim.components.params import CoreParams
from archsim.components.phases import PhaseLedger, PhaseRun
from archsim.components.residency import Residency
from archsim.components.scoreboard import SPACES, SpaceBoard
from archsim.errors import MemoryFault, ProgramFault
from archsim.kernel.port import Queue
from archsim.kernel.simulation import Component, Event, Process
from archsim.kernel.snapshot import Visitor
from archsim.results import STALL_CAUSES

if TYPE_CHECKING:
    from archsim.components.replay import LogEntry, Replayer


WORD = 0xFFFFFFFF
"""Largest integer of a register."""


@attrs.define(eq=False)
class Barrier:
    """Where the cores of a machine meet, by barrier number."""

    cycles: int
    period_ps: int
    arrived: dict[int, list[FrontEnd]] = attrs.field(factory=dict)


@attrs.define(eq=False, kw_only=True)
class FrontEnd(Component):
    """One core's instruction stream: registers, loop stack, sticky state, scoreboard and queues."""

    core: int
    cores: int
    geometry: CoreParams
    formats: Formats
    period_ps: int
    serial: bool
    code: list[Decoded]
    fetch: InstructionFetch | None
    queues: list[Queue[Operation]]
    limits: tuple[int, ...]
    """Size of each space of SPACES in its address unit."""
    ledger: PhaseLedger
    gather_ids: dict[str, object]
    barrier: Barrier
    tensor_units: int
    vector_units: int
    prefetch_v_rows: int
    store_v_rows: int
    kv_pipeline: int
    loaded: tuple[Residency, Residency] | None
    """What of Vector and Matrix SRAM holds something; None: the program may rely on earlier contents."""

    int_mem: list[int | None] = attrs.field(factory=list)
    pc: int = 0
    time_ps: int = 0
    line: int = -1
    registers: list[int | None] = attrs.field(factory=lambda: [0] * 16)
    producers: list[Operation | None] = attrs.field(factory=lambda: [None] * 16)
    """The unit operation that produces a register's opaque value."""
    bases: list[int] = attrs.field(factory=lambda: [0] * 8)
    loops: list[int] = attrs.field(factory=list)
    """Remaining trips of the open loops, innermost last."""
    scale: int = 0
    stride: int = 0
    v_rows: int = 1
    v_stride: int = 1
    v_stride2: int = 1
    segment: int = 0
    m_rows: int = 0
    m_tiles: int = 1
    m_stride: int = 0
    fetch_tiles: int = 1
    fetch_elements: int = 0
    h_rows: int = 0
    h_width: int = 0
    h_pitch: int = 0
    receipts: list[int] = attrs.field(factory=list)
    """Arrival times of N_PUT transfers that no N_WAIT has consumed."""
    phase: PhaseRun = attrs.field(init=False)
    """The phase that instructions are being dispatched in; set by `enter_phase` before the run."""
    boards: list[SpaceBoard] = attrs.field(init=False)
    last: list[Operation | None] = attrs.field(init=False)
    """Youngest operation of each queue."""
    replayer: Replayer | None = None
    """Watches loop ends and skips iterations that repeat; None: every iteration is simulated."""
    log: list[LogEntry] | None = None
    """What the iteration has touched, loaded and stored, while a replayer watches."""
    stored: set[int] = attrs.field(factory=set)
    """INT_MEM words that the program has stored integers to: they act as registers."""
    accumulating: int = 0
    """Tensor unit of the accumulation in progress."""
    next_vector: int = 0
    instructions: int = 0
    busy_ps: int = 0
    stall_ps: dict[str, int] = attrs.field(factory=lambda: dict.fromkeys(STALL_CAUSES, 0))
    done: bool = False
    tile_weight: int = attrs.field(init=False)
    tile_kv: int = attrs.field(init=False)
    _wait_for: str = ""
    _wait_since: int = 0

    def __attrs_post_init__(self) -> None:
        geometry = self.geometry
        self.segment = geometry.hlen
        self.m_rows = geometry.blen
        self.boards = [SpaceBoard() for _ in SPACES]
        self.last = [None] * len(self.queues)
        self.tile_weight = geometry.mlen * geometry.blen * self.formats.weights.cells
        self.tile_kv = geometry.mlen * geometry.hlen * self.formats.kv.cells

    def replay(self, visitor: Visitor) -> None:
        """Everything dispatch remembers; registers, bases and trip counts move, the rest must be equal."""
        visitor.exact_time(self.time_ps)
        visitor.state(self.pc, self.line, self.done, self._wait_for, self._barrier_event is None)
        visitor.state(self._receipt_event is None, self.accumulating, self.next_vector)
        visitor.state(self.scale, self.stride, self.v_rows, self.v_stride, self.v_stride2, self.segment)
        visitor.state(self.m_rows, self.m_tiles, self.m_stride, self.fetch_tiles, self.fetch_elements)
        visitor.state(self.h_rows, self.h_width, self.h_pitch, len(self.loops))
        visitor.state(tuple([value is None for value in self.registers]))
        self.registers = [None if value is None else visitor.affine(value, WORD) for value in self.registers]
        for address in sorted(self.stored):
            word = self.int_mem[address]
            visitor.state(address, word is None)
            self.int_mem[address] = None if word is None else visitor.affine(word, WORD)
        self.bases = [visitor.affine(base) for base in self.bases]
        self.loops = [visitor.affine(left - 1) + 1 for left in self.loops]
        self._replay_operations(visitor)
        for at_ps in self.receipts:
            visitor.time(at_ps)
        visitor.state(len(self.receipts))
        self.ledger.replay(visitor)
        self.instructions = visitor.count(self.instructions)
        self._counted = visitor.count(self._counted)
        self.busy_ps = visitor.count(self.busy_ps)
        visitor.counts(self.stall_ps)
        for decoded in self.code:
            decoded.count = visitor.count(decoded.count)
            decoded.busy = visitor.count(decoded.busy)

    def _replay_operations(self, visitor: Visitor) -> None:
        now = min(visitor.now, self.time_ps)
        for register, operation in enumerate(self.producers):
            if operation is not None and not 0 <= operation.finish_ps <= now:
                visitor.state(register)
                operation.replay(visitor)
        for queue, operation in enumerate(self.last):
            if operation is not None and not 0 <= operation.finish_ps <= now:
                visitor.state(queue)
                operation.replay(visitor)
        for board in self.boards:
            board.replay(visitor, now)

    def processes(self) -> tuple[Process, ...]:
        """One behaviour: `run`."""
        return (self.run(),)

    def waiting(self) -> tuple[str, int] | None:
        """What keeps the program from ending."""
        return None if self.done else (self._wait_for or "its turn", self._wait_since)

    def run(self) -> Process:
        """Execute the program from its first instruction to its end."""
        code, end = self.code, len(self.code)
        while self.pc < end:
            decoded = code[self.pc]
            if decoded.line != self.line and self.fetch is not None:
                yield from self._enter_line(decoded.line)
            wait = decoded.handler(self, decoded)
            if wait is not None:
                yield from wait
        self.ledger.close(self.phase, self.time_ps)
        self._count_phase()
        if self.time_ps > self.sim.now:
            yield self.sim.timeout(self.time_ps - self.sim.now)
        self.done = True
        if self.fetch is not None:
            self.fetch.stop()

    # -- waits ---------------------------------------------------------------------------------

    def stalled_until(self, time_ps: int, cause: str) -> None:
        """Local time goes on to `time_ps`; the gap is a stall."""
        if time_ps > self.time_ps:
            self.stall_ps[cause] += time_ps - self.time_ps
            self.time_ps = time_ps

    def note(self, what: str) -> None:
        """Remember what is waited for, for the deadlock report."""
        self._wait_for, self._wait_since = what, self.time_ps

    def wait_room(self, queue: Queue[Operation], decoded: Decoded) -> Process:
        """Wait until the queue has room."""
        self.note(f"room in the {decoded.unit} queue, at {decoded.place}")
        yield queue.wait_room()
        self.stalled_until(self.sim.now, "queue_full")

    def wait_started(self, operation: Operation, what: str) -> Process:
        """Wait until the retirement time of an operation is known."""
        while operation.finish_ps < 0:
            self.note(what)
            yield operation.wait_started(self.sim.event())

    def wait_retired(self, operation: Operation, what: str) -> Process:
        """Wait for an operation to retire; local time goes on with it."""
        yield from self.wait_started(operation, what)
        self.stalled_until(operation.finish_ps, operation.cause)

    def wait_serial(self, operation: Operation) -> Process:
        """Serial issue: the next instruction starts when this one has retired. No stall, it is the mode."""
        yield from self.wait_started(operation, "the instruction before")
        self.busy_ps += max(0, operation.finish_ps - self.time_ps)
        self.time_ps = max(self.time_ps, operation.finish_ps)

    def wait_value(self, register: int, decoded: Decoded) -> Process:
        """Wait for the unit that produces an integer register."""
        operation = self.producers[register]
        assert operation is not None
        yield from self.wait_retired(operation, f"gp{register}, at {decoded.place}")
        self.producers[register] = None

    def wait_int_mem(self, operation: Operation, decoded: Decoded) -> Process:
        """Wait for a pending write of the INT_MEM word that is loaded."""
        yield from self.wait_retired(operation, f"INT_MEM, at {decoded.place}")

    def wait_idle(self) -> Process:
        """Wait for everything dispatched so far to retire."""
        cause = "operand"
        for operation in self.last:
            if operation is not None:
                yield from self.wait_started(operation, "its units to be idle")
                if operation.finish_ps == self.ledger.latest_ps:
                    cause = operation.cause
        self.stalled_until(self.ledger.latest_ps, cause)
        self._step_over()

    def wait_receipts(self, wanted: int, decoded: Decoded) -> Process:
        """Wait until `wanted` transfers from other cores have arrived."""
        while len(self.receipts) < wanted:
            self.note(f"{wanted} receipts, {len(self.receipts)} have come, at {decoded.place}")
            event = self.sim.event()
            self._receipt_event = event
            yield event
        if wanted:
            self.stalled_until(self.receipts[wanted - 1], "noc")
            del self.receipts[:wanted]
        self._step_over()

    _receipt_event: Event | None = None

    def receive(self, at_ps: int) -> None:
        """A transfer from another core has arrived; calls come in order of time."""
        self.receipts.append(at_ps)
        event, self._receipt_event = self._receipt_event, None
        if event is not None:
            event.succeed()

    def wait_barrier(self, number: int, count: int) -> Process:
        """Wait until `count` cores have arrived at barrier `number`."""
        if self.time_ps > self.sim.now:
            yield self.sim.timeout(self.time_ps - self.sim.now)
        arrived = self.barrier.arrived.setdefault(number, [])
        arrived.append(self)
        self.note(f"barrier {number} ({len(arrived)} of {count} cores have arrived)")
        event = self._barrier_event = self.sim.event()
        if len(arrived) >= count:
            self.barrier.arrived[number] = []
            for other in arrived:
                assert other._barrier_event is not None
                other._barrier_event.succeed()
        yield event
        self.stalled_until(self.sim.now + self.barrier.cycles * self.barrier.period_ps, "barrier")
        self._step_over()

    _barrier_event: Event | None = None

    def _step_over(self) -> None:
        self.time_ps += self.period_ps
        self.busy_ps += self.period_ps
        self.pc += 1
        self.instructions += 1

    def _enter_line(self, line: int) -> Process:
        fetch = self.fetch
        assert fetch is not None
        if not fetch.resident(line):
            self.note(f"instruction line {line}")
            yield fetch.request(line, self.time_ps)
        self.stalled_until(fetch.ready_ps(line), "fetch")
        fetch.look_ahead(line, self.time_ps)
        self.line = line

    # -- phases --------------------------------------------------------------------------------

    def elaborate(self) -> None:
        """Start in the unmarked phase that every program begins with."""
        self.phase = self.ledger.begin(0)

    def enter_phase(self, index: int) -> None:
        """Instructions from here on belong to phase `index` (0 is the unmarked beginning)."""
        self.ledger.close(self.phase, self.time_ps)
        self._count_phase()
        self.phase = self.ledger.begin(index)
        if self.replayer is not None and self.log is not None:
            self.replayer.bound_log(self)
        for observer in self.sim.observers:
            observer.progress(self.sim.now, self.instructions)

    _counted: int = 0

    def _count_phase(self) -> None:
        self.phase.totals.instructions += self.instructions - self._counted
        self._counted = self.instructions

    # -- faults --------------------------------------------------------------------------------

    def value(self, register: int, decoded: Decoded) -> int:
        """A register's integer, where it is used as address or count; raises ProgramFault."""
        value = self.registers[register]
        if value is None:
            raise ProgramFault(
                f"{self.path}: {decoded.place}: gp{register} holds a value that depends on data; "
                "expected a known integer for an address or count"
            )
        return value

    def check_loaded(self, decoded: Decoded, space: int, write: bool, low: int, high: int) -> None:
        """Note what an instruction writes; raise MemoryFault where it reads SRAM that nothing has written."""
        if self.loaded is None:
            return
        if write:
            self.loaded[space].write(low, high)
            return
        missing = self.loaded[space].missing(low, high)
        if missing is not None:
            raise MemoryFault(
                f"{self.path}: {decoded.place}: reads {SPACE_NAMES[space]} [{low}, {high}) before address "
                f"{missing} was loaded; expected a transfer or a result there first"
            )

    def out_of_range(self, decoded: Decoded, space: int, low: int, high: int) -> MemoryFault:
        """The error for an access beyond a memory."""
        where = f"{self.path}: {decoded.place}: {SPACE_NAMES[space]}"
        return MemoryFault(f"{where} [{low}, {high}); expected within [0, {self.limits[space]})")
