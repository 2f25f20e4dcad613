"""Hazard tracking: which operations in flight must finish before a new one may start.

Each address space keeps the ranges of operations that have not retired. A new reader depends on
overlapping writers, a new writer on overlapping writers and readers. Registers f0-f7 are tracked the
same way, by number. Ranges are half open, in the space's own address unit.
"""

from __future__ import annotations

import attrs

from archsim.components.operation import Operation
from archsim.kernel.snapshot import Visitor

SPACES = ("V", "M", "F", "I", "H", "S", "R")
"""Vector SRAM, Matrix SRAM, FP_MEM, INT_MEM, HBM, KV engine scales, f registers."""

_PRUNE_AT = 24

Entry = tuple[int, int, Operation]


@attrs.define(eq=False)
class SpaceBoard:
    """Pending accesses of one address space."""

    writers: list[Entry] = attrs.field(factory=list)
    readers: list[Entry] = attrs.field(factory=list)
    _prune_writers: int = _PRUNE_AT
    _prune_readers: int = _PRUNE_AT

    def read(self, low: int, high: int, operation: Operation, now_ps: int) -> None:
        """Enter a read of [low, high)."""
        depends = operation.depends
        writers = self.writers
        while writers and 0 <= writers[0][2].finish_ps <= now_ps:
            del writers[0]
        for start, end, other in writers:
            if start < high and low < end and not (0 <= other.finish_ps <= now_ps):
                depends.append(other)
        readers = self.readers
        if readers:
            start, end, other = readers[-1]
            # The same in-order unit reading the same range again: the later read ends last.
            if start == low and end == high and _supersedes(operation, other):
                readers[-1] = (low, high, operation)
                return
        readers.append((low, high, operation))
        if len(readers) > self._prune_readers:
            self.readers = _alive(readers, now_ps)
            self._prune_readers = max(_PRUNE_AT, 2 * len(self.readers))

    def write(self, low: int, high: int, operation: Operation, now_ps: int) -> None:
        """Enter a write of [low, high)."""
        depends = operation.depends
        writers = self.writers
        while writers and 0 <= writers[0][2].finish_ps <= now_ps:
            del writers[0]
        readers = self.readers
        while readers and 0 <= readers[0][2].finish_ps <= now_ps:
            del readers[0]
        for start, end, other in writers:
            # A transfer writes codes and scales, which may meet.
            if start < high and low < end and other is not operation and not (0 <= other.finish_ps <= now_ps):
                depends.append(other)
        for start, end, other in self.readers:
            if start < high and low < end and other is not operation and not (0 <= other.finish_ps <= now_ps):
                depends.append(other)
        writers.append((low, high, operation))
        if len(writers) > self._prune_writers:
            self.writers = _alive(writers, now_ps)
            self._prune_writers = max(_PRUNE_AT, 2 * len(self.writers))

    def replay(self, visitor: Visitor, now_ps: int) -> None:
        """Ranges of operations that have not retired by `now_ps`: lengths are state, addresses move."""
        self.writers = self._replay(_alive(self.writers, now_ps), visitor)
        self.readers = self._replay(_alive(self.readers, now_ps), visitor)

    def _replay(self, entries: list[Entry], visitor: Visitor) -> list[Entry]:
        moved = []
        for low, high, operation in entries:
            visitor.state(high - low)
            operation.replay(visitor)
            start = visitor.affine(low)
            moved.append((start, start + high - low, operation))
        visitor.state(len(entries))
        return moved

    def pending_writer(self, low: int, high: int, now_ps: int) -> Operation | None:
        """The youngest writer of [low, high) that has not retired by `now_ps`."""
        for start, end, other in reversed(self.writers):
            if start < high and low < end and not (0 <= other.finish_ps <= now_ps):
                return other
        return None


def _supersedes(new: Operation, old: Operation) -> bool:
    return new.decoded.queue == old.decoded.queue and new.latency >= old.latency and new.decoded.in_order


def _alive(entries: list[Entry], now_ps: int) -> list[Entry]:
    return [entry for entry in entries if not (0 <= entry[2].finish_ps <= now_ps)]
