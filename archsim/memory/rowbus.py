"""The row-command buses of a memory as rate servers; those of all physical channels mostly agree."""

from __future__ import annotations

import attrs


@attrs.define(eq=False)
class RowBuses:
    """`common` is when every bus is free, but for the buses in `own`, which are free later."""

    pseudo_channels: int
    common: int = 0
    own: dict[int, int] = attrs.field(factory=dict)

    def free(self, channels: tuple[int, ...]) -> int:
        """When the first of the buses of these channels is free.

        Channels that move together mostly share that time; where a neighbour delayed one of them by an
        activate slot (2 or 3 ns), that is ignored.
        """
        own, common = self.own, self.common
        if not own:
            return common
        per = self.pseudo_channels
        return min([own.get(c // per, common) for c in channels])

    def hold(self, channels: tuple[int, ...], until: int, *, everyone: bool) -> None:
        """Keep the buses of these channels busy until then."""
        own = self.own
        if everyone:
            self.common = until
            own.clear()
            return
        for channel in channels:
            bus = channel // self.pseudo_channels
            own[bus] = max(until, own.get(bus, 0))
