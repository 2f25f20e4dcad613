"""Shapes of channel runs: what a run asks of its channel, apart from which rows it opens.

Runs of equal length that begin a whole number of periods (one row of every bank) apart use the same banks in the same
order, each for as much data, in rows as many further. A program has a few hundred shapes, so each is worked
out once.
"""

from __future__ import annotations

from typing import NamedTuple

import attrs

from archsim.memory.addressmap import AddressMap
from archsim.memory.delays import Delays
from archsim.memory.refresh import Spread

MAX_SHAPES = 4096
"""Shapes kept; beyond it they are made anew, which costs time and changes no result."""

Page = tuple[int, int, int]
"""(number in its row set, bank, ps of data)."""


class RunShape(NamedTuple):
    """A run of `nbytes` in `bursts`, which take `data_ps` on the bus and are longer than a write batch if `whole`.

    `sets` are the first row sets, as many as there are banks at most: (how many rows behind the run's first one, their
    pages in order), of `pages` pages in all; `late_ps` is the data time of those behind them. First to last data
    are at least `least_ps` apart; `charge_ps` is what the run pays for refresh where that is spread over data.
    """

    nbytes: int
    bursts: int
    data_ps: int
    whole: bool
    pages: int
    sets: tuple[tuple[int, tuple[Page, ...]], ...]
    late_ps: int
    least_ps: int
    charge_ps: int


@attrs.define(eq=False)
class ShapeBook:
    """The shapes met so far of runs in one memory, by (local address within the period, bytes)."""

    delays: Delays
    map: AddressMap
    burst_bytes: int
    spread: Spread
    known: dict[tuple[int, int], RunShape] = attrs.field(factory=dict, init=False)

    @property
    def chunk_ps(self) -> int:
        """Time that one chunk takes on a channel's bus."""
        return self.data_ps(self.map.interleave)

    def data_ps(self, nbytes: int) -> int:
        """Time that the whole bursts of `nbytes` take on a channel's bus."""
        return nbytes // self.burst_bytes * self.delays.burst

    def bytes_in(self, time_ps: int) -> int:
        """What whole bursts bring in that time."""
        return time_ps // self.delays.burst * self.burst_bytes

    def make(self, phase: int, nbytes: int) -> RunShape:
        """The shape of runs of `nbytes` > 0 from local address `phase`, which is less than a period; now known."""
        map_, delays = self.map, self.delays
        end = phase + nbytes - 1
        bursts = end // self.burst_bytes - phase // self.burst_bytes + 1
        sets = self._row_sets(phase, end, bursts * delays.burst)
        later = ((phase >> map_.row_set_shift) + map_.banks) << map_.row_set_shift
        shape = RunShape(
            nbytes=nbytes,
            bursts=bursts,
            data_ps=bursts * delays.burst,
            whole=bursts >= delays.write_batch,
            pages=sum([len(pages) for _, pages in sets]),
            sets=sets,
            late_ps=self.data_ps(end + self.burst_bytes - later) if end >= later else 0,
            least_ps=self._least_ps(nbytes, bursts),
            charge_ps=self.spread.charge(phase, nbytes),
        )
        if len(self.known) >= MAX_SHAPES:
            self.known.clear()
        self.known[phase, nbytes] = shape
        return shape

    def _least_ps(self, nbytes: int, bursts: int) -> int:
        """One or two chunks leave bank groups unused: bursts of one group keep tCCD_L."""
        interleave = self.map.interleave
        if nbytes > 2 * interleave:
            return 0
        alone = min(bursts, interleave // self.burst_bytes)
        return (alone - 1) * self.delays.same_group_gap + self.delays.burst

    def _row_sets(self, phase: int, end: int, data_ps: int) -> tuple[tuple[int, tuple[Page, ...]], ...]:
        """The first row sets of a run from `phase` to `end`, whose data take `data_ps`."""
        map_, chunk_ps = self.map, self.chunk_ps
        groups, set_shift = map_.bank_groups, map_.row_set_shift - map_.chunk_shift
        skip = self.data_ps(phase & (map_.interleave - 1))
        chunk, last_chunk = phase >> map_.chunk_shift, end >> map_.chunk_shift
        first, found = chunk >> set_shift, []
        for row_set in range(first, min(last_chunk >> set_shift, first + map_.banks - 1) + 1):
            base = (row_set & (map_.banks - 1)) << map_.group_shift
            after_set = min(last_chunk + 1, (row_set + 1) << set_shift)
            chunks, pages = after_set - chunk, []
            for k in range(min(chunks, groups)):
                size = min(data_ps, ((chunks + groups - 1 - k) >> map_.group_shift) * chunk_ps - skip)
                pages.append((k, base + ((chunk + k) & (groups - 1)), size))
                data_ps, skip = data_ps - size, 0
            found.append((row_set >> map_.bank_shift, tuple(pages)))
            chunk = after_set
        return tuple(found)
