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


class _Segment(NamedTuple):
    """Channels lo..hi-1 take `nbytes` from `local` on."""

    lo: int
    hi: int
    local: int
    nbytes: int


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
        segments = []
        for address, nbytes in extents:
            self.check(address, nbytes)
            if nbytes:
                segments += self._segments(address, nbytes)
        return self._group(segments)

    def _segments(self, address: int, nbytes: int) -> list[_Segment]:
        """Ranges of channels with equal local address and size, for one extent."""
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
            found.append(_Segment(lo, lo + stop - start, local, size))
        return found

    def _group(self, segments: list[_Segment]) -> list[ChannelRuns]:
        """Overlay the segments of all extents; channels with equal runs become one group."""
        marks = sorted({s.lo for s in segments} | {s.hi for s in segments})
        index = {mark: i for i, mark in enumerate(marks)}
        runs: list[list[tuple[int, int]]] = [[] for _ in marks]
        for lo, hi, local, nbytes in segments:
            for i in range(index[lo], index[hi]):
                runs[i].append((local, nbytes))
        groups: dict[tuple[tuple[int, int], ...], list[int]] = {}
        for i, mine in enumerate(runs):
            if mine:
                groups.setdefault(tuple(mine), []).extend(range(marks[i], marks[i + 1]))
        return [ChannelRuns(tuple(channels), key) for key, channels in groups.items()]
