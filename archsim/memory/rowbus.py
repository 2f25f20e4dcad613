"""The row-command buses of a memory as rate servers; those of all physical channels mostly agree."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from archsim.kernel.snapshot import Visitor

BusRanges = tuple[tuple[int, int], ...]
"""Ranges (first, behind the last) of bus numbers."""


@attrs.define(eq=False)
class RowBuses:
    """`common` is when every bus is free, but for those that `own` has a later time for, by number."""

    pseudo_channels: int
    common: int = 0
    own: list[int] = attrs.field(factory=list)

    def of(self, channels: Sequence[int]) -> tuple[int, BusRanges]:
        """The buses of increasing channels: (most channels that share one of them, their numbers)."""
        counts: dict[int, int] = {}
        for channel in channels:
            bus = channel // self.pseudo_channels
            counts[bus] = counts.get(bus, 0) + 1
        ranges: list[tuple[int, int]] = []
        for bus in counts:
            first = ranges.pop()[0] if ranges and ranges[-1][1] == bus else bus
            ranges.append((first, bus + 1))
        return max(counts.values()), tuple(ranges)

    def free(self, buses: BusRanges) -> int:
        """When the first of these buses is free.

        Channels that move together mostly share that time; where a neighbour delayed one of them by an
        activate slot (2 or 3 ns), that is ignored.
        """
        own = self.own
        if not own or buses[-1][1] > len(own):
            return self.common
        first, behind = buses[0]
        earliest = min(own[first:behind])
        for first, behind in buses[1:]:
            earliest = min(earliest, *own[first:behind])
        return earliest

    def idle(self, now: int) -> bool:
        """Whether all buses are free."""
        return max([self.common, *self.own]) <= now

    def whole(self, channels: Sequence[int], buses: BusRanges) -> bool:
        """Whether these are all the channels of their buses."""
        return len(channels) == sum([behind - first for first, behind in buses]) * self.pseudo_channels

    def hold(self, buses: BusRanges, until: int, *, everyone: bool) -> None:
        """Keep these buses busy until then; `everyone` if all channels do so at once."""
        own = self.own
        if everyone:
            self.common = until
            own.clear()
            return
        missing = buses[-1][1] - len(own)
        if missing > 0:
            own += [self.common] * missing
        for first, behind in buses:
            times = own[first:behind]
            if max(times) <= until:
                own[first:behind] = [until] * len(times)
            else:
                own[first:behind] = [until if until > time else time for time in times]

    def replay(self, visitor: Visitor) -> None:
        """When each bus is free."""
        visitor.time(self.common)
        late = max(visitor.now, self.common)
        for bus, until in enumerate(self.own):
            if until > late:
                visitor.state(bus)
                visitor.time(until)
        visitor.state(any(until > late for until in self.own))
