"""What dispatch remembers between instructions, all of it in named fields, and how it is told to replay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from archsim.components.body import LoopBody
from archsim.components.decode import SPACE_NAMES, Decoded
from archsim.components.fetch import InstructionFetch
from archsim.components.operation import Operation
from archsim.components.params import CoreParams
from archsim.components.phases import PhaseLedger, PhaseRun
from archsim.components.residency import Residency
from archsim.components.scoreboard import SPACES, SpaceBoard
from archsim.errors import MemoryFault, ProgramFault
from archsim.isa.formats import Formats
from archsim.kernel.port import Queue
from archsim.kernel.simulation import Component, Event
from archsim.kernel.snapshot import Visitor
from archsim.results import STALL_CAUSES

if TYPE_CHECKING:
    from archsim.components.replay import Replayer
    from archsim.components.touches import LogEntry

WORD = 0xFFFFFFFF
"""Largest integer of a register."""


@attrs.define(eq=False, kw_only=True)
class FrontState(Component):
    """Registers, loop stack, sticky registers, scoreboard, queues, and the account of one core's dispatch."""

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
    bodies: dict[range, LoopBody] = attrs.field(factory=dict)
    """Bodies of the loops that are replayed."""
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
    stall_ps: dict[str, int] = attrs.field(factory=lambda: dict.fromkeys(STALL_CAUSES, 0))
    done: bool = False
    tile_weight: int = attrs.field(init=False)
    tile_kv: int = attrs.field(init=False)
    _counted: int = 0
    _receipt_event: Event | None = None
    _barrier_event: Event | None = None
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

    @property
    def busy_ps(self) -> int:
        """Time that dispatch has spent on instructions: all that was no stall."""
        return self.time_ps + self.sim.skipped_ps - sum(self.stall_ps.values())

    def replay(self, visitor: Visitor) -> None:
        """Everything dispatch remembers; registers, bases and trip counts move, the rest must be equal.

        Registers that the loop's body does not name, and lines that it does not come by, are as they are.
        """
        body = self._body(visitor.body)
        visitor.exact_time(self.time_ps)
        visitor.state(self.pc, self.line, self.done, self._wait_for, self._barrier_event is None)
        visitor.state(self._receipt_event is None, self.accumulating, self.next_vector)
        visitor.state(self.scale, self.stride, self.v_rows, self.v_stride, self.v_stride2, self.segment)
        visitor.state(self.m_rows, self.m_tiles, self.m_stride, self.fetch_tiles, self.fetch_elements)
        visitor.state(self.h_rows, self.h_width, self.h_pitch, len(self.loops))
        registers = self.registers
        for register in range(len(registers)) if body is None else body.registers:
            value = registers[register]
            visitor.state(value is None)
            if value is not None:
                registers[register] = visitor.affine(value, WORD)
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
        visitor.counts(self.stall_ps)
        self._replay_counts(visitor)
        if self.fetch is not None:
            self.fetch.replay(visitor, None if body is None else body.lines)

    def _body(self, indices: range) -> LoopBody | None:
        """The loop's body, where this core is in it."""
        if self.pc not in indices:
            return None
        if indices not in self.bodies:
            self.bodies[indices] = LoopBody.of(self.code, indices)
        return self.bodies[indices]

    def _replay_counts(self, visitor: Visitor) -> None:
        executed, busy = [each.count for each in self.code], [each.busy for each in self.code]
        visitor.count_list(executed)
        visitor.count_list(busy)
        if visitor.moves:
            for decoded, count, cycles in zip(self.code, executed, busy, strict=True):
                decoded.count, decoded.busy = count, cycles

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

    def stalled_until(self, time_ps: int, cause: str) -> None:
        """Local time goes on to `time_ps`; the gap is a stall."""
        if time_ps > self.time_ps:
            self.stall_ps[cause] += time_ps - self.time_ps
            self.time_ps = time_ps

    def note(self, what: str) -> None:
        """Remember what is waited for, for the deadlock report."""
        self._wait_for, self._wait_since = what, self.time_ps

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
