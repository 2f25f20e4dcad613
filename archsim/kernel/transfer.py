"""Records that pass between memory, network and DMA: who moved how much, and when."""

from __future__ import annotations

from typing import NamedTuple


class Share(NamedTuple):
    """The part of one transfer that a group of identically timed channels serves.

    `nbytes` is per channel. For a read, `first_ps`/`last_ps` say when the first and last byte of
    each channel's part stand at the channel's port; for a write, when the channel accepts them.
    """

    channels: tuple[int, ...]
    nbytes: int
    first_ps: int
    last_ps: int
