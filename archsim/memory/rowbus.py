"""The row-command buses of a memory as rate servers; those of all physical channels mostly agree."""

from __future__ import annotations

from typing import NamedTuple

import attrs

from archsim.kernel.snapshot import Visitor


class BusGroup(NamedTuple):
    """The buses of channels that move together: `ranges` of (first, behind the last) bus number.

    `siblings` is the most of the channels that share one of them; `everyone` tells that no other channels
    are in the memory, `whole` that no others are on these buses.
    """

    ranges: tuple[tuple[int, int], ...]
    siblings: int
    whole: bool
    everyone: bool


@attrs.define(eq=False)
class RowBuses:
    """`common` is when every bus is free, but for those that `own` has a later time for, by number."""

    pseudo_channels: int
    common: int = 0
    own: list[int] = attrs.field(factory=list)
    _known: dict[tuple[int, ...], BusGroup] = attrs.field(factory=dict, init=False)

    def of(self, channels: tuple[int, ...], everyone: int) -> BusGroup:
        """The buses of increasing channels of a memory that has `everyone`."""
        group = self._known.get(channels)
        if group is None:
            group = self._known[channels] = self._find(channels, everyone)
        return group

    def _find(self, channels: tuple[int, ...], everyone: int) -> BusGroup:
        counts: dict[int, int] = {}
        for channel in channels:
            bus = channel // self.pseudo_channels
            counts[bus] = counts.get(bus, 0) + 1
        ranges: list[tuple[int, int]] = []
        for bus in counts:
            first = ranges.pop()[0] if ranges and ranges[-1][1] == bus else bus
            ranges.append((first, bus + 1))
        whole = min(counts.values()) == self.pseudo_channels
        return BusGroup(tuple(ranges), max(counts.values()), whole, len(channels) == everyone)

    def free(self, group: BusGroup) -> int:
        """When the first of these buses is free.

        Channels that move together mostly share that time; where a neighbour delayed one of them by an
        activate slot (2 or 3 ns), that is ignored.
        """
        own, ranges = self.own, group.ranges
        if not own or ranges[-1][1] > len(own):
            return self.common
        if len(ranges) == 1:
            return min(own[ranges[0][0] : ranges[0][1]])
        return min([min(own[first:behind]) for first, behind in ranges])

    def idle(self, now: int) -> bool:
        """Whether all buses are free."""
        return max([self.common, *self.own]) <= now

    def hold(self, group: BusGroup, until: int) -> None:
        """Keep these buses busy until then."""
        own, ranges = self.own, group.ranges
        if group.everyone:
            self.common = until
            own.clear()
            return
        missing = ranges[-1][1] - len(own)
        if missing > 0:
            own += [self.common] * missing
        for first, behind in ranges:
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
