"""The row-command buses of a memory as rate servers; those of all physical channels mostly agree."""

from __future__ import annotations

import attrs

from archsim.kernel.snapshot import Visitor


@attrs.define(eq=False)
class RowBuses:
    """`common` is when every bus is free, but for the buses in `own`, which are free later."""

    pseudo_channels: int
    common: int = 0
    own: dict[int, int] = attrs.field(factory=dict)
    _known: dict[tuple[int, ...], tuple[int, ...]] = attrs.field(factory=dict, init=False)

    def free(self, channels: tuple[int, ...]) -> int:
        """When the first of the buses of these channels is free.

        Channels that move together mostly share that time; where a neighbour delayed one of them by an
        activate slot (2 or 3 ns), that is ignored.
        """
        own, common = self.own, self.common
        if not own:
            return common
        find = own.get
        earliest = -1
        for bus in self._buses(channels):
            until = find(bus, common)
            if until < earliest or earliest < 0:
                earliest = until
        return earliest

    def _buses(self, channels: tuple[int, ...]) -> tuple[int, ...]:
        """The buses of these channels, each once."""
        buses = self._known.get(channels)
        if buses is None:
            buses = self._known[channels] = tuple(sorted({channel // self.pseudo_channels for channel in channels}))
        return buses

    def idle(self, now: int) -> bool:
        """Whether all buses are free."""
        return max(self.common, *self.own.values()) <= now if self.own else self.common <= now

    def whole(self, channels: tuple[int, ...]) -> bool:
        """Whether these are all the channels of their buses."""
        return len(channels) == len(self._buses(channels)) * self.pseudo_channels

    def replay(self, visitor: Visitor) -> None:
        """When each bus is free."""
        visitor.time(self.common)
        for bus in sorted(self.own):
            if self.own[bus] > visitor.now:
                visitor.state(bus)
                visitor.time(self.own[bus])
        visitor.state(any(until > visitor.now for until in self.own.values()))

    def hold(self, channels: tuple[int, ...], until: int, *, everyone: bool) -> None:
        """Keep the buses of these channels busy until then."""
        own = self.own
        if everyone:
            self.common = until
            own.clear()
            return
        for bus in self._buses(channels):
            if until > own.get(bus, 0):
                own[bus] = until
