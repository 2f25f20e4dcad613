"""Dispatch: runs integer and control instructions itself and feeds the units' queues in order.

The front end keeps its own local time, which may be ahead of the kernel's: as long as no queue is
full and no value is missing, what it does depends on program order alone, so it needs no event. It
meets the kernel again where it has to wait. Pushes carry the local time; units never start earlier.
"""

from __future__ import annotations

import attrs

from archsim.components.decode import Decoded
from archsim.components.frontstate import FrontState
from archsim.components.operation import Operation
from archsim.kernel.port import Queue
from archsim.kernel.simulation import Process


@attrs.define(eq=False)
class Barrier:
    """Where the cores of a machine meet, by barrier number."""

    cycles: int
    period_ps: int
    arrived: dict[int, list[FrontEnd]] = attrs.field(factory=dict)


@attrs.define(eq=False, kw_only=True)
class FrontEnd(FrontState):
    """One core's instruction stream: what it does with its state, and what it waits for."""

    barrier: Barrier

    def processes(self) -> tuple[Process, ...]:
        """One behaviour: `run`."""
        return (self.run(),)

    def waiting(self) -> tuple[str, int] | None:
        """What keeps the program from ending."""
        if self.done:
            return None
        where = f", at {self.code[self.pc].place}" if self.pc < len(self.code) else ""
        return f"{self._wait_for or 'its turn'}{where}", self._wait_since

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

    def wait_room(self, queue: Queue[Operation], decoded: Decoded) -> Process:
        """Wait until the queue has room."""
        self.note(f"room in the {decoded.unit} queue")
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
        self.time_ps = max(self.time_ps, operation.finish_ps)

    def wait_value(self, register: int) -> Process:
        """Wait for the unit that produces an integer register."""
        operation = self.producers[register]
        assert operation is not None
        yield from self.wait_retired(operation, f"gp{register}")
        self.producers[register] = None

    def wait_int_mem(self, operation: Operation) -> Process:
        """Wait for a pending write of the INT_MEM word that is loaded."""
        yield from self.wait_retired(operation, "INT_MEM")

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

    def wait_receipts(self, wanted: int) -> Process:
        """Wait until `wanted` transfers from other cores have arrived."""
        while len(self.receipts) < wanted:
            self.note(f"{wanted} receipts, {len(self.receipts)} have come")
            event = self.sim.event()
            self._receipt_event = event
            yield event
        if wanted:
            self.stalled_until(self.receipts[wanted - 1], "noc")
            del self.receipts[:wanted]
        self._step_over()

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
            for other in sorted(arrived, key=lambda front: front.core):
                assert other._barrier_event is not None
                other._barrier_event.succeed()
        yield event
        self.stalled_until(self.sim.now + self.barrier.cycles * self.barrier.period_ps, "barrier")
        self._step_over()

    def _step_over(self) -> None:
        self.time_ps += self.period_ps
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

    def _count_phase(self) -> None:
        self.phase.totals.instructions += self.instructions - self._counted
        self._counted = self.instructions
