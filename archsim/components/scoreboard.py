"""Hazard tracking: which operations in flight must finish before a new one may start.

Each address space keeps the ranges of operations that have not retired. A new reader depends on
overlapping writers, a new writer on overlapping writers and readers. A write takes the place of what it
covers: who waits for the write, waits for that, too. Registers f0-f7 are tracked the same way, by number.
Ranges are half open, in the space's own address unit.
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
        _drop_retired(self.writers, now_ps)
        for start, end, other in self.writers:
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
        _give_way(self.writers, low, high, operation, now_ps)
        _give_way(self.readers, low, high, operation, now_ps)
        writers = self.writers
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


def _give_way(entries: list[Entry], low: int, high: int, operation: Operation, now_ps: int) -> None:
    """Make a write of [low, high) wait for what it overlaps, and drop what it covers."""
    _drop_retired(entries, now_ps)
    covered = []
    for place, (start, end, other) in enumerate(entries):
        # A transfer writes codes and scales, which may meet.
        if start < high and low < end and other is not operation:
            if not (0 <= other.finish_ps <= now_ps):
                operation.depends.append(other)
            if low <= start and end <= high:
                covered.append(place)
    for place in reversed(covered):
        del entries[place]


def _drop_retired(entries: list[Entry], now_ps: int) -> None:
    """Drop the oldest entries, up to the first that has not retired."""
    while entries and 0 <= entries[0][2].finish_ps <= now_ps:
        del entries[0]


def _supersedes(new: Operation, old: Operation) -> bool:
    return new.decoded.queue == old.decoded.queue and new.latency >= old.latency and new.decoded.in_order


def _alive(entries: list[Entry], now_ps: int) -> list[Entry]:
    return [entry for entry in entries if not (0 <= entry[2].finish_ps <= now_ps)]
