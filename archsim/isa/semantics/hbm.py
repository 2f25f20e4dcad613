"""HBM as bytes: sparse, with a note of which of them hold something, and decoded tiles that are kept."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from archsim.isa.semantics.storage import Bytes8

PAGE = 1 << 16
"""Bytes that come into being together."""


@attrs.define(eq=False)
class Hbm:
    """`size` bytes; `regions` (name, base, bytes) are names for messages, and of tensors in files."""

    size: int
    regions: tuple[tuple[str, int, int], ...] = ()
    pages: dict[int, tuple[Bytes8, Bytes8]] = attrs.field(factory=dict)
    """Bytes, and 1 where written, by page number."""
    versions: dict[int, int] = attrs.field(factory=dict)
    """How often each page has been written."""
    kept: dict[Any, tuple[tuple[int, ...], Any]] = attrs.field(factory=dict)
    """Decoded transfers with the versions of their pages, for `remembered`."""

    def write(self, low: int, data: Bytes8) -> None:
        """Store bytes from `low` on; the caller has checked the range."""
        done = 0
        while done < len(data):
            number, start = divmod(low + done, PAGE)
            count = min(PAGE - start, len(data) - done)
            if number not in self.pages:
                self.pages[number] = np.zeros(PAGE, np.uint8), np.zeros(PAGE, np.uint8)
            values, written = self.pages[number]
            values[start : start + count] = data[done : done + count]
            written[start : start + count] = 1
            self.versions[number] = self.versions.get(number, 0) + 1
            done += count

    def read(self, low: int, size: int) -> Bytes8:
        """A copy of bytes [low, low + size), zeros where nothing was written."""
        out = np.zeros(size, np.uint8)
        for number, start, done, count in self._pieces(low, size):
            if number in self.pages:
                out[done : done + count] = self.pages[number][0][start : start + count]
        return out

    def missing(self, low: int, size: int) -> int | None:
        """Address of the first byte of [low, low + size) that nothing has written, or None."""
        for number, start, done, count in self._pieces(low, size):
            page = self.pages.get(number)
            if page is None:
                return low + done
            written = page[1][start : start + count]
            if not written.all():
                return low + done + int(np.argmin(written))
        return None

    def stamp(self, low: int, size: int) -> tuple[int, ...]:
        """Versions of the pages of a range: equal stamps mean unchanged bytes."""
        return tuple([self.versions.get(page, 0) for page in range(low // PAGE, (low + size - 1) // PAGE + 1)])

    def pages_of(self, low: int, size: int) -> list[tuple[int, Bytes8]]:
        """(address, written flags) of the parts of a range that exist, in order."""
        last = (low + size - 1) // PAGE
        numbers = sorted(number for number in self.pages if low // PAGE <= number <= last)
        parts = []
        for number in numbers:
            start, end = max(low, number * PAGE), min(low + size, (number + 1) * PAGE)
            parts.append((start, self.pages[number][1][start - number * PAGE : end - number * PAGE]))
        return parts

    def region(self, address: int) -> str | None:
        """Name of the region that an address lies in."""
        for name, base, size in self.regions:
            if base <= address < base + size:
                return name
        return None

    @staticmethod
    def _pieces(low: int, size: int) -> list[tuple[int, int, int, int]]:
        """(page, offset in the page, offset in the range, bytes) of a range."""
        pieces, done = [], 0
        while done < size:
            number, start = divmod(low + done, PAGE)
            count = min(PAGE - start, size - done)
            pieces.append((number, start, done, count))
            done += count
        return pieces
