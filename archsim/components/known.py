"""A repetition that a loop has shown before: seen again, once is enough."""

from __future__ import annotations

from collections.abc import Hashable

import attrs

from archsim.components.touches import PRODUCT, LogEntry, Logs
from archsim.components.watch import Repetition


@attrs.frozen
class Known:
    """`lag` iterations from the state `key` led to it again and did the same twice.

    Where another activation of the loop starts from that state, and its registers and totals move by the
    same amounts once (totals nearly, where differences are forgiven), every access moves as it did: accesses
    are sums of registers, of table words, whose values to come are looked at, and of products, whose
    constant factor must be the same.
    """

    lag: int
    key: list[Hashable]
    moves: list[int]
    totals: list[int]
    step_ps: int
    """Time they took."""
    earlier: Logs
    last: Logs
    """What the two iterations touched, by core."""

    @classmethod
    def of(cls, seen: Repetition) -> Known:
        """What that repetition has shown."""
        return cls(seen.lag, seen.end.recorder.key, seen.moves, seen.totals, seen.step_ps, seen.earlier, seen.last)

    def before(self, logs: Logs) -> Logs | None:
        """What the iteration before the one of `logs` would have touched; None where it is not the same work."""
        found: Logs = []
        for earlier, last, log in zip(self.earlier, self.last, logs, strict=True):
            if len(log) != len(last):
                return None
            entries: list[LogEntry] = []
            for old, new, now in zip(earlier, last, log, strict=True):
                if new[0] != now[0] or new[3] != now[3]:
                    return None
                move, change = new[1] - old[1], new[2] - old[2]
                if new[0] == PRODUCT and ((move and new[2] != now[2]) or (change and new[1] != now[1])):
                    return None
                entries.append((now[0], now[1] - move, now[2] - change, now[3]))
            found.append(entries)
        return found
