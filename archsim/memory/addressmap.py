"""Where a byte address lives, and how an extent falls apart into channel runs, in closed form.

Address bits, low to high: interleave (128 B) | channel | bank group | rest of the column | bank | row.
Inside a channel, addresses are contiguous again (the "local address": the channel bits taken out). One
bank index with all its bank groups makes a *row set*: `page_bytes * bank_groups` local bytes, which
a sequential run crosses with one open page in every bank group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import attrs

from archsim.errors import ConfigError, MemoryFault

MAX_PATTERNS = 4096
"""Uneven splits remembered; beyond it they are worked out anew, which costs time and changes no result."""


class Location(NamedTuple):
    """Coordinates of one byte; `column` is the byte's place inside its page."""

    channel: int
    bank_group: int
    bank: int
    row: int
    column: int


class ChannelRuns(NamedTuple):
    """What one request asks of every channel in `channels`: `runs` of (local address, bytes)."""

    channels: tuple[int, ...]
    runs: tuple[tuple[int, int], ...]


_Part = tuple[int, int, int]
"""(number of the extent, local address behind that of its first stripe, bytes)."""

_Pattern = list[tuple[tuple[int, ...], tuple[_Part, ...]]]
"""What channels have in common, by group of them."""


class _Segment(NamedTuple):
    """Channels lo..hi-1 take one part."""

    lo: int
    hi: int
    part: _Part


def _log2(path: str, value: int) -> int:
    if value < 1 or value & (value - 1):
        raise ConfigError(path, value, "a power of two")
    return value.bit_length() - 1


@attrs.define(eq=False)
class AddressMap:
    """Address arithmetic of one memory; sizes in bytes, all but `capacity` powers of two (ConfigError)."""

    channels: int
    capacity: int
    page_bytes: int = 1024
    bank_groups: int = 4
    banks: int = 4
    interleave: int = 128
    channel_shift: int = attrs.field(init=False)
    chunk_shift: int = attrs.field(init=False)
    group_shift: int = attrs.field(init=False)
    bank_shift: int = attrs.field(init=False)
    row_set_shift: int = attrs.field(init=False)
    _stripe_mask: int = attrs.field(init=False)
    _all: tuple[int, ...] = attrs.field(init=False)
    _patterns: dict[tuple[tuple[int, int], ...], _Pattern] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        """Derive the shifts; raises ConfigError for sizes that are no powers of two or do not nest."""
        self.channel_shift = _log2("memory.channels", self.channels)
        self.chunk_shift = _log2("memory.interleave", self.interleave)
        self.group_shift = _log2("memory.bank_groups", self.bank_groups)
        self.bank_shift = _log2("memory.banks", self.banks)
        self.row_set_shift = _log2("memory.page_bytes", self.page_bytes) + self.group_shift
        if self.interleave > self.page_bytes:
            raise ConfigError("memory.interleave", self.interleave, f"at most the page of {self.page_bytes} B")
        row = self.channels << (self.row_set_shift + self.bank_shift)
        if self.capacity <= 0 or self.capacity % row:
            raise ConfigError("memory.capacity", self.capacity, f"a multiple of {row} B (one row of every bank)")
        self._stripe_mask = self.interleave * self.channels - 1
        self._all = tuple(range(self.channels))

    @property
    def all_channels(self) -> tuple[int, ...]:
        """Every channel, in order; always the same object."""
        return self._all

    def locate(self, address: int) -> Location:
        """Coordinates of the byte at `address`; raises MemoryFault outside the capacity."""
        self.check(address, 1)
        chunk = address >> self.chunk_shift
        local = chunk >> self.channel_shift
        row_set = local >> (self.row_set_shift - self.chunk_shift)
        in_set = (local >> self.group_shift) & (self.page_bytes // self.interleave - 1)
        return Location(
            channel=chunk & (self.channels - 1),
            bank_group=local & (self.bank_groups - 1),
            bank=row_set & (self.banks - 1),
            row=row_set >> self.bank_shift,
            column=(in_set << self.chunk_shift) | (address & (self.interleave - 1)),
        )

    def check(self, address: int, nbytes: int) -> None:
        """Raise MemoryFault unless `nbytes` bytes from `address` on are inside the memory."""
        if address < 0 or nbytes < 0 or address + nbytes > self.capacity:
            raise MemoryFault(
                f"HBM: access to bytes {address:#x}..{address + nbytes:#x} ({nbytes} B); "
                f"expected a range inside the capacity of {self.capacity:#x} ({self.capacity} B)"
            )

    def split(self, extents: Sequence[tuple[int, int]]) -> list[ChannelRuns]:
        """Group the channels that get the same runs from `extents` of (byte address, bytes).

        One group where every extent is a whole number of aligned stripes (interleave x channels bytes).
        Else an extent makes at most three groups, and up to two more for part chunks at its ends;
        the work depends on the number of groups, never on bytes. Empty extents vanish. Raises MemoryFault.
        """
        mask, shift, capacity = self._stripe_mask, self.channel_shift, self.capacity
        runs = []
        for address, nbytes in extents:
            if (address | nbytes) & mask or nbytes <= 0 or address < 0 or address + nbytes > capacity:
                return self._split_uneven(extents)
            runs.append((address >> shift, nbytes >> shift))
        return [ChannelRuns(self._all, tuple(runs))] if runs else []

    def _split_uneven(self, extents: Sequence[tuple[int, int]]) -> list[ChannelRuns]:
        mask, shift = self._stripe_mask, self.channel_shift
        for address, nbytes in extents:
            self.check(address, nbytes)
        key = tuple([(address & mask, nbytes) for address, nbytes in extents])
        pattern = self._patterns.get(key) or self._make_pattern(key)
        bases = [(address & ~mask) >> shift for address, _ in extents]
        groups: dict[tuple[tuple[int, int], ...], tuple[int, ...]] = {}
        for channels, parts in pattern:
            runs = tuple([(bases[extent] + local, nbytes) for extent, local, nbytes in parts])
            # Parts of different extents may happen to be the same runs.
            groups[runs] = tuple(sorted(groups[runs] + channels)) if runs in groups else channels
        return [ChannelRuns(channels, runs) for runs, channels in groups.items()]

    def _make_pattern(self, extents: tuple[tuple[int, int], ...]) -> _Pattern:
        """What extents of (address in the stripe, bytes) ask of the channels, relative to the stripe; now known."""
        segments = []
        for extent, (address, nbytes) in enumerate(extents):
            if nbytes:
                segments += self._segments(extent, address, nbytes)
        if len(self._patterns) >= MAX_PATTERNS:
            self._patterns.clear()
        self._patterns[extents] = pattern = self._group(segments)
        return pattern

    def _segments(self, extent: int, address: int, nbytes: int) -> list[_Segment]:
        """Ranges of channels with equal local address and size, for one extent that begins in the first stripe."""
        unit, total = self.interleave, self.channels
        first, end = address >> self.chunk_shift, address + nbytes
        chunks = ((end - 1) >> self.chunk_shift) - first + 1
        origin, last = first & (total - 1), (chunks - 1) & (total - 1)
        head, tail = address & (unit - 1), -end & (unit - 1)
        cuts = {0, min(chunks, total), min(last + 1, total)}
        if head:
            cuts.add(1)
        if tail:
            cuts.add(last)
        if origin + chunks > total:
            cuts.add(total - origin)
        marks = sorted(cuts)
        found = []
        for start, stop in zip(marks, marks[1:], strict=False):
            # `start` counts channels from the one that holds the first byte.
            wrapped = origin + start >= total
            local = ((first >> self.channel_shift) + wrapped) * unit
            size = (chunks - start + total - 1) // total * unit
            if start == 0:
                local, size = local + head, size - head
            if start == last:
                size -= tail
            lo = origin + start - (total if wrapped else 0)
            found.append(_Segment(lo, lo + stop - start, (extent, local, size)))
        return found

    def _group(self, segments: list[_Segment]) -> _Pattern:
        """Overlay the segments of all extents; channels with equal parts become one group."""
        marks = sorted({s.lo for s in segments} | {s.hi for s in segments})
        index = {mark: i for i, mark in enumerate(marks)}
        parts: list[list[_Part]] = [[] for _ in marks]
        for lo, hi, part in segments:
            for i in range(index[lo], index[hi]):
                parts[i].append(part)
        groups: dict[tuple[_Part, ...], list[int]] = {}
        for i, mine in enumerate(parts):
            if mine:
                groups.setdefault(tuple(mine), []).extend(range(marks[i], marks[i + 1]))
        return [(tuple(channels), key) for key, channels in groups.items()]
