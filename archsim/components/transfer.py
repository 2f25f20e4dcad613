"""What one DMA-like instruction moves: HBM extents on one side, on-chip rows on the other."""

from __future__ import annotations

import attrs

from archsim.kernel.snapshot import Visitor


def total(extents: list[tuple[int, int]]) -> int:
    """Bytes of all extents together."""
    return sum([size for _, size in extents])


@attrs.define(eq=False)
class Transfer:
    """`extents` are (byte address, bytes); `rows` are Vector SRAM row accesses (0: Matrix SRAM)."""

    extents: list[tuple[int, int]]
    write: bool
    nbytes: int
    rows: int
    remote_core: int = -1
    """Receiving core of an N_PUT."""
    remote_low: int = 0
    remote_high: int = 0
    """Vector SRAM range [low, high) that an N_PUT writes there, in elements."""
    merged: list[tuple[int, int]] = attrs.field(factory=list)
    """Extents that a write reads first: scale blocks of which it replaces a part."""

    def replay(self, visitor: Visitor) -> None:
        """Sizes are state, addresses move."""
        visitor.state(self.write, self.nbytes, self.rows, self.remote_core, self.remote_high - self.remote_low)
        visitor.state(tuple([size for _, size in self.extents]))
        visitor.state(tuple([size for _, size in self.merged]))
        self.extents = [(visitor.affine(address), size) for address, size in self.extents]
        self.merged = [(visitor.affine(address), size) for address, size in self.merged]
        low = visitor.affine(self.remote_low)
        self.remote_low, self.remote_high = low, low + self.remote_high - self.remote_low
