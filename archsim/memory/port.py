"""A port of an SRAM as bandwidth that concurrent instructions share.

A vector instruction or a tile stream keeps a steady rate of row accesses for its whole duration, so
a port is modelled by the rates in force: an access may start when its rate still fits beside them.
Rates are parts per million of the port, rounded up, all in integers. Within an instruction the
accesses are spread evenly; bursts inside it are not modelled.
"""

from __future__ import annotations

import attrs

from archsim.kernel.snapshot import Visitor

FULL = 1_000_000


@attrs.define(eq=False)
class SharedPort:
    """One port that serves `rows_per_cycle` row accesses a cycle."""

    name: str
    rows_per_cycle: int
    users: list[tuple[int, int, int]] = attrs.field(factory=list, init=False)
    """(start ps, end ps, rate) of accesses that are not over."""
    rows: int = attrs.field(default=0, init=False)
    """Row accesses served."""

    def rate(self, rows: int, cycles: int) -> int:
        """Share of the port, in parts per million, that `rows` accesses over `cycles` need (at most all)."""
        return min(FULL, -(-rows * FULL // (self.rows_per_cycle * cycles))) if cycles else 0

    def free_at(self, at_ps: int, rate: int) -> int:
        """Earliest time from `at_ps` on when `rate` fits beside the accesses in force."""
        users = self.users
        if not users:
            return at_ps
        if len(users) > 8:
            users = self.users = [user for user in users if user[1] > at_ps]
        while True:
            load = rate
            first_end = 0
            for start, end, used in users:
                if start <= at_ps < end:
                    load += used
                    if not first_end or end < first_end:
                        first_end = end
            if load <= FULL or not first_end:
                return at_ps
            at_ps = first_end

    def replay(self, visitor: Visitor) -> None:
        """Rates in force, relative to now; rows served."""
        now = visitor.now
        self.users = [user for user in self.users if user[1] > now]
        for start, end, rate in self.users:
            visitor.time(start)
            visitor.time(end)
            visitor.state(rate)
        visitor.state(len(self.users))
        self.rows = visitor.count(self.rows)

    def take(self, start_ps: int, end_ps: int, rate: int, rows: int) -> None:
        """Keep `rate` busy from start to end."""
        self.rows += rows
        if rate:
            self.users.append((start_ps, end_ps, rate))
