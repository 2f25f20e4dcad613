"""Network interface of a core: sends vectors to other cores' Vector SRAM."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from archsim.components.operation import Operation
from archsim.components.port import MemoryPort
from archsim.components.unit import ExecutionUnit
from archsim.kernel.snapshot import Visitor

if TYPE_CHECKING:
    from archsim.components.frontend import FrontEnd


@attrs.define(eq=False, kw_only=True)
class NetworkInterface(ExecutionUnit):
    """One put after another leaves through port A; the receiver counts it when its last byte lands."""

    port: MemoryPort
    fronts: list[FrontEnd]
    """Every core's front end, the receivers."""
    sent_bytes: int = 0
    travelling: list[tuple[int, int]] = attrs.field(factory=list)
    """(arrival ps, receiving core) of puts under way."""

    def replay(self, visitor: Visitor) -> None:
        """As any unit; puts under way."""
        super().replay(visitor)
        self.travelling = [put for put in self.travelling if put[0] >= visitor.now]
        for at_ps, core in self.travelling:
            visitor.exact_time(at_ps)
            visitor.state(core)
        visitor.state(len(self.travelling))
        self.sent_bytes = visitor.count(self.sent_bytes)

    def start(self, operation: Operation, start: int) -> None:
        """Book the links; announce the receipt at its time."""
        transfer = operation.transfer
        assert transfer is not None
        end = start + transfer.rows * self.period_ps
        self.port_a.take(start, end, self.port_a.rate(transfer.rows, transfer.rows), transfer.rows)
        _, finish = self.port.network.put(self.port.core, transfer.remote_core, transfer.nbytes, start)
        finish = max(self.port.edge(finish), end)
        self.free_ps = end
        self.busy_ps += end - start
        self.operations += 1
        self.sent_bytes += transfer.nbytes
        operation.cause = "noc"
        receiver = self.fronts[transfer.remote_core]
        if receiver.loaded is not None:
            receiver.loaded[0].write(transfer.remote_low, transfer.remote_high)
        self.travelling = [put for put in self.travelling if put[0] >= start]
        self.travelling.append((finish, transfer.remote_core))
        self.sim.call_at(finish, lambda: receiver.receive(finish))
        if self.sim.observers:
            self.watch(operation, start, end)
        operation.started(finish)

    def claim(self, operation: Operation) -> None:
        """Puts are buffered: they do not wait for port A."""
