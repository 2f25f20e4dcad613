"""Execution units: take operations from their queue in order, start each when it may, account for time."""

from __future__ import annotations

import attrs

from archsim.components.operation import Operation
from archsim.kernel.port import Queue
from archsim.kernel.simulation import Component, Process
from archsim.kernel.snapshot import Visitor
from archsim.memory.port import SharedPort
from archsim.results import STALL_CAUSES


@attrs.define(eq=False, kw_only=True)
class ExecutionUnit(Component):
    """An in-order unit. Subclasses say in `start` what starting an operation means.

    Between two operations the unit is idle while its queue offers nothing, and stalled, by cause,
    while the oldest entry waits for operands or a port. busy + idle + stalls = time, exactly.
    """

    period_ps: int
    queue: Queue[Operation]
    port_a: SharedPort
    port_b: SharedPort
    free_ps: int = 0
    """When the unit can start the next operation."""
    busy_ps: int = 0
    idle_ps: int = 0
    stall_ps: dict[str, int] = attrs.field(factory=lambda: dict.fromkeys(STALL_CAUSES, 0))
    operations: int = 0
    ready_ps: int = 0
    """When the operands of the oldest entry are ready, as far as known."""
    cause: str = "operand"
    """What `ready_ps` is due to."""
    wake_ps: int = 0
    """When the unit looks again."""
    _blocked_on: Operation | None = None
    _blocked_since: int = 0

    def processes(self) -> tuple[Process, ...]:
        """One behaviour: `run`."""
        return (self.run(),)

    def waiting(self) -> tuple[str, int] | None:
        """The operation that the oldest entry of the queue needs."""
        if self._blocked_on is None:
            return None
        oldest = self.queue.items[0].decoded.place if self.queue.items else "its work"
        return f"{self._blocked_on.decoded.place}, needed by {oldest}", self._blocked_since

    def run(self) -> Process:
        """Start operations in order, each as early as its operands, the unit and the ports allow."""
        queue, sim = self.queue, self.sim
        items, environment = queue.items, sim.environment
        while True:
            while not items:
                yield queue.wait_items()
            operation = items[0]
            self.ready_ps, self.cause = operation.issue_ps, "operand"
            for other in operation.depends:
                while other.finish_ps < 0:
                    self._blocked_on, self._blocked_since = other, sim.now
                    yield other.wait_started(sim.event())
                    self._blocked_on = None
                if other.finish_ps > self.ready_ps:
                    self.ready_ps, self.cause = other.finish_ps, other.cause
            start = self.free_ps if self.free_ps > self.ready_ps else self.ready_ps
            now = sim.now
            if start > now:
                self.wake_ps = start
                yield environment.timeout(start - now)
            else:
                start = now
            self.claim(operation)
            free = self.ports_free(operation, start)
            while free > start:
                self.wake_ps = free
                yield environment.timeout(free - start)
                start = free
                free = self.ports_free(operation, start)
            self.account(operation, start, self.ready_ps, self.cause)
            queue.pop()
            self.start(operation, start)

    def replay(self, visitor: Visitor) -> None:
        """The queue, what the oldest entry waits for, and the account."""
        queue = self.queue
        if not queue.items:
            self.settle(visitor.now)
        visitor.state(len(queue.items), queue.consumer is None, queue.producer is None, self._blocked_on is None)
        for operation in queue.items:
            operation.replay(visitor)
        if queue.items:
            visitor.exact_time(self.ready_ps)
            visitor.state(self.cause)
            visitor.time(self.wake_ps)
        if self._blocked_on is not None:
            self._blocked_on.replay(visitor)
        visitor.exact_time(self.free_ps)
        self.busy_ps = visitor.count(self.busy_ps)
        self.idle_ps = visitor.count(self.idle_ps)
        visitor.counts(self.stall_ps)
        self.operations = visitor.count(self.operations)

    def settle(self, now: int) -> None:
        """The queue is empty: whatever comes next, the unit has been idle up to now."""
        self.close(now)

    def close(self, end_ps: int) -> None:
        """The run ended at `end_ps`: what the unit did not use to the end was idle."""
        if end_ps > self.free_ps:
            self.idle_ps += end_ps - self.free_ps
            self.free_ps = end_ps

    def claim(self, operation: Operation) -> None:
        """Work out which share of each SRAM port the operation needs while it runs."""
        if operation.rows_a:
            operation.share_a = self.port_a.rate(operation.rows_a, operation.cycles)
        if operation.rows_b:
            operation.share_b = self.port_b.rate(operation.rows_b, operation.cycles)

    def ports_free(self, operation: Operation, at_ps: int) -> int:
        """Earliest time from `at_ps` on when the SRAM ports may have room for the operation's shares."""
        if operation.share_a:
            at_ps = self.port_a.free_at(at_ps, operation.share_a)
        if operation.share_b:
            at_ps = self.port_b.free_at(at_ps, operation.share_b)
        return at_ps

    def account(self, operation: Operation, start: int, ready: int, cause: str) -> None:
        """Book the time between the previous operation and this one."""
        gap_from = self.free_ps
        if start <= gap_from:
            return
        offered = operation.issue_ps
        if offered > gap_from:
            self.idle_ps += min(offered, start) - gap_from
            gap_from = min(offered, start)
        if ready > gap_from:
            self.stall_ps[cause] += min(ready, start) - gap_from
            gap_from = min(ready, start)
        if start > gap_from:
            self.stall_ps["sram_port"] += start - gap_from

    def start(self, operation: Operation, start: int) -> None:
        """Begin an operation now: occupy the unit and the ports, make the retirement time known."""
        occupied = operation.cycles * self.period_ps
        end = start + occupied
        self.free_ps = end
        self.busy_ps += occupied
        self.operations += 1
        if operation.rows_a:
            self.port_a.take(start, end, operation.share_a, operation.rows_a)
        if operation.rows_b:
            self.port_b.take(start, end, operation.share_b, operation.rows_b)
        if self.sim.observers:
            self.watch(operation, start, end)
        operation.started(start + operation.latency * self.period_ps)

    def watch(self, operation: Operation, start: int, end: int) -> None:
        """Tell observers."""
        skipped = self.sim.skipped_ps
        for observer in self.sim.observers:
            observer.slice(
                self.path, operation.decoded.mnemonic, start + skipped, end + skipped, operation.phase.index - 1
            )
            observer.counter(self.path, "queue", start + skipped, len(self.queue.items))


@attrs.define(eq=False, kw_only=True)
class ScalarUnit(ExecutionUnit):
    """Floating-point scalars and what touches FP_MEM and INT_MEM in data order."""


@attrs.define(eq=False, kw_only=True)
class VectorUnit(ExecutionUnit):
    """VLEN lanes: elementwise, the reduction tree, and the sampling operations."""


@attrs.define(eq=False, kw_only=True)
class TensorCore(ExecutionUnit):
    """A flattened output-stationary array; results drain behind the next accumulation."""

    def claim(self, operation: Operation) -> None:
        """Port B serves the vector operand of a tile, or the rows that a drain writes, over its whole latency."""
        operation.share_b = self.port_b.rate(operation.rows_b, max(operation.cycles, operation.latency))

    def start(self, operation: Operation, start: int) -> None:
        """As any unit, but a drain's row writes are spread over its latency, not its one-cycle slot."""
        occupied, finish = operation.cycles * self.period_ps, start + operation.latency * self.period_ps
        end = start + occupied
        self.free_ps = end
        self.busy_ps += occupied
        self.operations += 1
        self.port_b.take(start, max(end, finish), operation.share_b, operation.rows_b)
        if self.sim.observers:
            self.watch(operation, start, end)
        operation.started(finish)
