"""Page-level memory: one step per DRAM page and channel, the reference for the closed form of `channel`.

Activates are placed one by one, in order, with real tRRD and tFAW windows and real slots on the row bus;
refresh interrupts each page. What is shared with the run level: the address map, the delays, the refresh
windows, and the rule for mixing reads with writes.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import attrs

from archsim.kernel.transfer import Share
from archsim.memory.addressmap import AddressMap, ChannelRuns
from archsim.memory.delays import Delays, make_delays
from archsim.memory.lane import BusState, bus_ready
from archsim.memory.opening import RowCounters
from archsim.memory.refresh import Refresh
from archsim.memory.timing import DramTiming


class Page(NamedTuple):
    """The part of a run in one page; `bank` is bank x bank groups + bank group."""

    bank: int
    row: int
    bursts: int


def pages_of(map_: AddressMap, burst_bytes: int, local: int, nbytes: int) -> Iterator[Page]:
    """The pages of a run, row set by row set, in the order of their first bytes."""
    end = local + nbytes
    while local < end:
        row_set = local >> map_.row_set_shift
        stop = min(end, (row_set + 1) << map_.row_set_shift)
        bursts: dict[int, int] = {}
        while local < stop:
            cut = min(stop, ((local >> map_.chunk_shift) + 1) << map_.chunk_shift)
            group = (local >> map_.chunk_shift) & (map_.bank_groups - 1)
            count = (cut - 1) // burst_bytes - local // burst_bytes + 1
            bursts[group] = bursts.get(group, 0) + count
            local = cut
        base = (row_set & (map_.banks - 1)) << map_.group_shift
        for group, count in bursts.items():
            yield Page(base + group, row_set >> map_.bank_shift, count)


@attrs.define(eq=False)
class RowBus:
    """Command slots of one physical channel, as sorted, disjoint (start, end)."""

    slots: list[tuple[int, int]] = attrs.field(factory=list)

    def forget(self, before: int) -> None:
        """Drop slots that ended by `before`; requests never go back in time."""
        self.slots = [slot for slot in self.slots if slot[1] > before]

    def reserve(self, when: int, length: int) -> int:
        """Book the first gap of `length` at or after `when`; returns its start."""
        for start, end in self.slots:
            if start >= when + length:
                break
            if end > when:
                when = end
        insort(self.slots, (when, when + length))
        return when


@attrs.define(eq=False, kw_only=True)
class PageChannel(BusState):
    """One channel: open rows as bank -> (row, epoch), earliest precharges, the last four activates."""

    timing: DramTiming
    delays: Delays
    map: AddressMap
    refresh: Refresh
    row_bus: RowBus
    counters: RowCounters
    rows: dict[int, tuple[int, int]] = attrs.field(factory=dict)
    release: dict[int, int] = attrs.field(factory=dict)
    activates: deque[int] = attrs.field(factory=lambda: deque(maxlen=4))
    last_group: int = -1
    epoch: int = 0
    busy_ps: int = 0

    def serve(self, at: int, local: int, nbytes: int, write: bool) -> tuple[int, int]:
        """Book a run of `nbytes` > 0 from local address `local`; (first, last) data time in ps."""
        delays, refresh, burst_bytes = self.delays, self.refresh, self.timing.burst_bytes
        bursts = (local + nbytes - 1) // burst_bytes - local // burst_bytes + 1
        self.row_bus.forget(at)
        bus = bus_ready(self, delays, at, bursts, write)
        first = last = -1
        pages = pages_of(self.map, burst_bytes, local, nbytes)
        for _, together in groupby(pages, key=lambda page: page.bank >> self.map.group_shift):
            # The pages of a row set take turns, so one that opens late lets the others go first.
            for ready, active, page in self._open(together, at, bus, write):
                start = refresh.align(max(bus, ready))
                bus = refresh.advance(start, page.bursts * delays.burst)
                self._touch(page, bus, active, write)
                first = start if first < 0 else first
                last = bus
        self.bus_free = bus
        self.busy_ps += bursts * delays.burst
        if (local + nbytes - 1) // self.map.interleave - local // self.map.interleave < 2:
            alone = min(bursts, self.map.interleave // burst_bytes)
            last = max(last, first + (alone - 1) * delays.same_group_gap + delays.burst)
        return first, last

    def _epoch(self, when: int) -> int:
        epoch = self.refresh.epoch(when)
        if epoch > self.epoch:
            all_bank = self.refresh.closes_rows
            self.counters.refreshes += (epoch - self.epoch) * (1 if all_bank else self.timing.banks)
            self.epoch = epoch
        return epoch if self.refresh.closes_rows else 0

    def _open(self, pages: Iterable[Page], at: int, bus: int, write: bool) -> list[tuple[int, int, Page]]:
        """(earliest data, until when the row must stay open, page) of the pages of a row set, in that order.

        Books the activates: of the banks that can be activated first, first.
        """
        delays = self.delays
        hit = at + (delays.write_column if write else delays.read_column)
        opened, closed = [], []
        for page in pages:
            row, epoch = self.rows.get(page.bank, (-1, -1))
            released = self.release.get(page.bank, 0)
            if epoch != self._epoch(max(bus, hit)):
                self.counters.row_misses += 1
                closed.append((at, False, page))
            elif row == page.row:
                self.counters.row_hits += 1
                opened.append((hit, released, page))
            else:
                self.counters.row_conflicts += 1
                closed.append((max(at, released) + delays.precharge, True, page))
        for ready, conflict, page in sorted(closed, key=itemgetter(0)):
            act = self._activate(page, self._precharge(ready - delays.precharge) if conflict else ready)
            opened.append((act + (delays.write_open if write else delays.read_open), act + delays.row_active, page))
        return sorted(opened, key=itemgetter(0))

    def _precharge(self, ready: int) -> int:
        length = self.timing.pre_bus_half_ck * self.timing.tck_ps // 2
        return self.row_bus.reserve(ready, length) + self.delays.precharge

    def _activate(self, page: Page, ready: int) -> int:
        timing, group = self.timing, page.bank & (self.map.bank_groups - 1)
        if self.activates:
            apart = timing.rrd_l if group == self.last_group else timing.rrd_s
            ready = max(ready, self.activates[-1] + apart * timing.tck_ps)
        if len(self.activates) == 4:
            ready = max(ready, self.activates[0] + timing.faw * timing.tck_ps)
        lead = self.delays.read_open
        ready = self.refresh.align(ready + lead) - lead if self.refresh.closes_rows else ready
        act = self.row_bus.reserve(ready, self.delays.row_bus_miss)
        self.activates.append(act)
        self.last_group = group
        return act

    def _touch(self, page: Page, end: int, active: int, write: bool) -> None:
        delays, before = self.delays, self.epoch
        epoch = self._epoch(end - 1)
        if self.refresh.closes_rows:
            self.counters.row_misses += epoch - before
        self.rows[page.bank] = (page.row, epoch)
        after = delays.write_release if write else delays.read_release
        self.release[page.bank] = max(end + after, active)


@attrs.define(eq=False)
class PageSet:
    """The page-level engine: every channel by itself, with the interface of the run-level one."""

    channels: list[PageChannel]

    def busy_ps(self) -> list[int]:
        """Data time of every channel."""
        return [channel.busy_ps for channel in self.channels]

    def serve(self, at: int, groups: Sequence[ChannelRuns], write: bool) -> list[Share]:
        """Book the runs of one request; channels with equal times come back as one share, in channel order."""
        shares: dict[tuple[int, int, int], list[int]] = {}
        for members, runs in groups:
            total = sum(nbytes for _, nbytes in runs)
            for index in members:
                times = [self.channels[index].serve(at, local, nbytes, write) for local, nbytes in runs]
                key = (total, times[0][0], max(last for _, last in times))
                shares.setdefault(key, []).append(index)
        found = [Share(tuple(sorted(members)), *key) for key, members in shares.items()]
        return sorted(found, key=lambda share: share.channels)


def make_page_set(
    timing: DramTiming, map_: AddressMap, refresh: Refresh, counters: RowCounters, pseudo_channels: int
) -> PageSet:
    """All channels of a memory, idle and closed; `pseudo_channels` of them share each row bus."""
    delays = make_delays(timing, pseudo_channels)
    buses = [RowBus() for _ in range(map_.channels // pseudo_channels)]
    return PageSet(
        [
            PageChannel(
                timing=timing,
                delays=delays,
                map=map_,
                refresh=refresh,
                row_bus=buses[index // pseudo_channels],
                counters=counters,
            )
            for index in map_.all_channels
        ]
    )
