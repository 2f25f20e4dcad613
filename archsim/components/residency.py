"""What has been loaded: the parts of an on-chip memory that something has written."""

from __future__ import annotations

import attrs


@attrs.define(eq=False)
class Residency:
    """Written or not, for each `grain` address units of a memory of `size` units.

    A write marks every grain it touches; a read is refused where a whole grain was never written.
    """

    size: int
    grain: int
    written: bytearray = attrs.field(init=False)
    low: int = 0
    high: int = 0
    """[low, high) has been written throughout: what was looked at last and all around it. Asking there is needless."""

    def __attrs_post_init__(self) -> None:
        self.written = bytearray(-(-self.size // self.grain))

    def write(self, low: int, high: int) -> None:
        """Mark [low, high)."""
        if self.low <= low and high <= self.high:
            return
        first, last = low // self.grain, -(-high // self.grain)
        self.written[first:last] = b"\1" * (last - first)
        self._look_around(first, last)

    def missing(self, low: int, high: int) -> int | None:
        """Address of the first grain of [low, high) that nothing has written, or None."""
        grain = self.grain
        first, last = low // grain, -(-high // grain)
        found = self.written.find(0, first, last)
        if found >= 0:
            return max(low, found * grain)
        self._look_around(first, last)
        return None

    def _look_around(self, first: int, last: int) -> None:
        """Grains [first, last) have been written: `low` and `high` include them and what adjoins them."""
        end = self.written.find(0, last)
        self.low = (self.written.rfind(0, 0, first) + 1) * self.grain
        self.high = (end if end >= 0 else len(self.written)) * self.grain
