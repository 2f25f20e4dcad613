"""What one DMA-like instruction moves: HBM extents on one side, on-chip rows on the other."""

from __future__ import annotations

import attrs


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
