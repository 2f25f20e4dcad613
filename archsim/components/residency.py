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

    def __attrs_post_init__(self) -> None:
        self.written = bytearray(-(-self.size // self.grain))

    def write(self, low: int, high: int) -> None:
        """Mark [low, high)."""
        first, last = low // self.grain, -(-high // self.grain)
        self.written[first:last] = b"\1" * (last - first)

    def missing(self, low: int, high: int) -> int | None:
        """Address of the first grain of [low, high) that nothing has written, or None."""
        grain = self.grain
        found = self.written.find(0, low // grain, -(-high // grain))
        return None if found < 0 else max(low, found * grain)
