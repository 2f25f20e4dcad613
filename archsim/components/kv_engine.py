"""KV quantization engine: per-channel ranges, quantise-and-store, folding of inverse scales (BAOS)."""

from __future__ import annotations

import attrs

from archsim.components.operation import Operation
from archsim.components.port import MemoryPort
from archsim.components.unit import ExecutionUnit
from archsim.kernel.snapshot import Visitor


@attrs.define(eq=False, kw_only=True)
class KvEngine(ExecutionUnit):
    """One row a cycle through calibration, quantisation or folding; stores go on to HBM.

    A store that replaces parts of scale blocks reads them first, and holds the engine meanwhile.
    """

    memory: MemoryPort
    store_ps: int
    """From the last row in the engine to its first byte on the network."""
    stored_bytes: int = 0

    def replay(self, visitor: Visitor) -> None:
        """As any unit; bytes stored."""
        super().replay(visitor)
        self.stored_bytes = visitor.count(self.stored_bytes)

    def start(self, operation: Operation, start: int) -> None:
        """Stream the rows; a store retires when the channels have taken its last byte."""
        transfer = operation.transfer
        if transfer is None:
            super().start(operation, start)
            return
        begin = start
        if transfer.merged:
            begin, _ = self.memory.read(start, transfer.merged)
        end = begin + operation.cycles * self.period_ps
        self.free_ps = end
        self.busy_ps += end - start
        self.operations += 1
        self.port_a.take(begin, end, operation.share_a, operation.rows_a)
        # Bytes leave as rows are quantised, so the network sees them from the first row on.
        finish, operation.cause = self.memory.write(begin + self.store_ps, transfer.extents)
        self.stored_bytes += transfer.nbytes
        if self.sim.observers:
            self.watch(operation, start, end)
        operation.started(max(finish, end + self.store_ps))
