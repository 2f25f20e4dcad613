"""DMA engines: 2-D transfers between HBM and the SRAMs, several in flight on each engine."""

from __future__ import annotations

import heapq

import attrs

from archsim.components.operation import Operation
from archsim.components.params import DmaParams
from archsim.components.port import MemoryPort
from archsim.components.unit import ExecutionUnit
from archsim.kernel.snapshot import Visitor


@attrs.define(eq=False, kw_only=True)
class DmaEngine(ExecutionUnit):
    """Starts transfers in order, up to `in_flight` at a time; busy while any is under way.

    A read: command path, network, HBM, network, format conversion, then the rows land through Vector
    SRAM port A (where the DMA has priority). A write reads its rows through port A first.
    """

    params: DmaParams
    memory: MemoryPort
    flying: list[int] = attrs.field(factory=list)
    """End times of transfers under way, as a heap."""
    read_bytes: int = 0
    write_bytes: int = 0
    landed_bytes: int = 0

    def replay(self, visitor: Visitor) -> None:
        """As any unit; transfers under way. An idle engine's account is closed up to now."""
        now = visitor.now
        self.flying = sorted(end for end in self.flying if end > now)
        for end in self.flying:
            visitor.time(end)
        visitor.state(len(self.flying))
        super().replay(visitor)
        visitor.exact_time(self.busy_until)
        self.read_bytes = visitor.count(self.read_bytes)
        self.write_bytes = visitor.count(self.write_bytes)
        self.landed_bytes = visitor.count(self.landed_bytes)

    def settle(self, now: int) -> None:
        """As any unit, but transfers under way go on."""
        self.free_ps = max(self.free_ps, now)
        if now > self.busy_until:
            self.idle_ps += now - self.busy_until
            self.busy_until = now

    def start(self, operation: Operation, start: int) -> None:
        """Book the whole transfer on channels and links; its end is known at once.

        Whoever waits for it waits for the DMA itself where the engine's fixed costs exceed the rest.
        """
        transfer = operation.transfer
        assert transfer is not None
        period = self.period_ps
        leave = start + self.params.command_cycles * period
        convert = (self.params.convert_cycles + self.params.fixed_cycles) * period
        if transfer.write:
            leave += convert
            finish, cause = self._store(operation, leave)
            operation.cause = "dma" if leave - start > finish - leave else cause
        else:
            arrival, cause = self.memory.read(leave, transfer.extents)
            finish = arrival + convert
            operation.cause = "dma" if finish - start > 2 * (arrival - leave) else cause
            self.read_bytes += transfer.nbytes
            if transfer.rows:
                self._land(transfer.rows, finish)
        self.landed_bytes += transfer.nbytes
        self.operations += 1
        if finish > self.busy_until:
            self.busy_ps += finish - max(start, self.busy_until)
            self.busy_until = finish
        flying = self.flying
        heapq.heappush(flying, finish)
        # The next transfer may start when this one is asked for, or when one of those in flight ends.
        rate = self.params.request_bytes_per_cycle
        self.free_ps = start + (max(1, -(-transfer.nbytes // rate)) if rate else 1) * period
        if len(flying) >= self.params.in_flight:
            self.free_ps = max(self.free_ps, heapq.heappop(flying))
        if self.sim.observers:
            self.watch(operation, start, finish)
        operation.started(finish)

    busy_until: int = 0

    def watch(self, operation: Operation, start: int, end: int) -> None:
        """As any unit, and the bytes that all this engine's transfers have moved."""
        super().watch(operation, start, end)
        at_ps = end + self.sim.skipped_ps
        for observer in self.sim.observers:
            observer.counter(self.path, "read_bytes", at_ps, self.read_bytes)
            observer.counter(self.path, "write_bytes", at_ps, self.write_bytes)

    def _store(self, operation: Operation, leave: int) -> tuple[int, str]:
        transfer = operation.transfer
        assert transfer is not None
        rate = self.port_a.rate(transfer.rows, transfer.rows)
        end = leave + transfer.rows * self.period_ps
        self.port_a.take(leave, end, rate, transfer.rows)
        self.write_bytes += transfer.nbytes
        # The channels may take the data no earlier than the last row has left the SRAM.
        finish, cause = self.memory.write(leave, transfer.extents)
        return max(finish, end), cause

    def _land(self, rows: int, finish: int) -> None:
        rate = self.port_a.rate(rows, rows)
        self.port_a.take(finish - rows * self.period_ps, finish, rate, rows)

    def account(self, operation: Operation, start: int, ready: int, cause: str) -> None:
        """As any unit; time covered by transfers in flight is busy, not stalled."""
        busy_until = self.busy_until
        if start <= busy_until:
            return
        # The cycle between two starts is no work of its own: only transfers make the engine busy.
        free, self.free_ps = self.free_ps, busy_until
        super().account(operation, start, ready, cause)
        self.free_ps = free

    def close(self, end_ps: int) -> None:
        """As any unit; an engine is done when its last transfer has landed."""
        self.free_ps = self.busy_until
        super().close(end_ps)

    def claim(self, operation: Operation) -> None:
        """The DMA has priority at its port: it never waits for it."""
