"""Pages of channel runs: when they are open and their data move, which rows stay open, what refresh closes.

The pages of a row set take turns: those that are open first go first, and one that is late does not hold them up,
but it holds up the row set behind it. A run of at least a write batch is longer than what the controller sees of
it at once, so its activates keep their order: each waits for the one before, and with it for the bank that the one
before had to wait for. The pages of shorter runs are all seen together; their activates only keep a rate.
"""

from __future__ import annotations

import attrs

from archsim.memory.addressmap import AddressMap
from archsim.memory.delays import Delays
from archsim.memory.lane import CLOSED, Lane
from archsim.memory.refresh import Refresh
from archsim.memory.rowbus import RowBuses

_Page = tuple[int, int, int, int, int]


@attrs.define(eq=False)
class RowCounters:
    """Page openings and refreshes, summed over channels."""

    row_hits: int = 0
    row_misses: int = 0
    row_conflicts: int = 0
    refreshes: int = 0


@attrs.define(eq=False)
class PageOpener:
    """Opens the pages of runs on the lanes of one memory."""

    delays: Delays
    map: AddressMap
    refresh: Refresh
    row_buses: RowBuses
    burst_bytes: int
    counters: RowCounters = attrs.field(factory=RowCounters)
    _burst_shift: int = attrs.field(init=False)
    _chunk_ps: int = attrs.field(init=False)
    _set_chunk_shift: int = attrs.field(init=False)
    _geometry: tuple[int, int, int, int, int] = attrs.field(init=False)
    _read: tuple[int, int, int] = attrs.field(init=False)
    _write: tuple[int, int, int] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Derive shifts from the address map, and put together what the page loop reads."""
        map_, delays = self.map, self.delays
        self._burst_shift = self.burst_bytes.bit_length() - 1
        self._chunk_ps = map_.interleave // self.burst_bytes * delays.burst
        self._set_chunk_shift = map_.row_set_shift - map_.chunk_shift
        self._geometry = map_.chunk_shift, self._set_chunk_shift, map_.bank_shift, map_.group_shift, map_.bank_groups
        self._read = delays.read_column, delays.read_open, delays.read_release
        self._write = delays.write_column, delays.write_open, delays.write_release

    def meet_refresh(self, lane: Lane, when: int) -> None:
        """Count the refreshes up to data time `when`; refreshing all banks closes every row."""
        epoch = self.refresh.epoch(when)
        lane.quiet_from, lane.quiet_to = self.refresh.quiet(epoch)
        if epoch == lane.epoch:
            return
        count = (epoch - lane.epoch) * len(lane.channels)
        lane.epoch = epoch
        if self.refresh.closes_rows:
            self.counters.refreshes += count
            lane.rows = [CLOSED] * len(lane.rows)
        else:
            self.counters.refreshes += count * len(lane.rows)

    def open_pages(
        self, lane: Lane, at: int, bus: int, local: int, end: int, data: int, write: bool, *, whole: bool
    ) -> tuple[int, int]:
        """Open the pages of the first row sets of a run that arrives at `at`, and move their data from `bus` on.

        Returns when the first data and when the last ones of these row sets move. With `whole`, a run longer than the
        controller sees at once, activates keep their order and the data stop for refresh windows; else only their
        rate is kept, and the caller puts the data around refresh.
        """
        column, open_ps, after = self._write if write else self._read
        chunk_shift, set_shift, bank_shift, group_shift, _ = self._geometry
        buses_free = self.row_buses.free(lane.channels)
        slot, gap = self._activate_slot(lane, max(at, buses_free), whole)
        windows, offset = whole and self.refresh.interval_ps > 0, self.refresh.offset_ps
        release, active = lane.release, self.delays.row_active
        chunk, last_chunk, banks = local >> chunk_shift, end >> chunk_shift, self.map.banks
        skip = ((local & (self.map.interleave - 1)) >> self._burst_shift) * self.delays.burst
        hit, left, first, pages, opened, conflicts = at + column, data, -1, 0, 0, 0
        for row_set in range(chunk >> set_shift, min(last_chunk >> set_shift, (chunk >> set_shift) + banks - 1) + 1):
            if windows and max(bus, hit) + offset >= lane.quiet_to:
                self.meet_refresh(lane, max(bus, hit))
            row, base = row_set >> bank_shift, (row_set & (banks - 1)) << group_shift
            after_set = min(last_chunk + 1, (row_set + 1) << set_shift)
            turns, closed, left = self._look(lane, at, hit, row, base, chunk, after_set - chunk, skip, left)
            chunk, skip = after_set, 0
            pages += len(turns) + len(closed)
            if closed:
                opened += len(closed)
                # Banks that can be activated first are, and pages that are open first have the bus first.
                closed.sort()
                for ready, k, conflict, bank, size in closed:
                    conflicts += conflict
                    act = ready if ready > slot else slot
                    if windows:
                        act = self._clear_of_refresh(act)
                    slot = act + gap if whole else slot + gap
                    turns.append((act + open_ps, k, act + active, bank, size))
                turns.sort()
            for ready, _, held, bank, size in turns:
                start = ready if ready > bus else bus
                bus = start + size
                if windows and (start + offset < lane.quiet_from or bus + offset > lane.quiet_to):
                    start, bus = self._around_refresh(lane, start, size)
                first = start if first < 0 else first
                lane.rows[bank] = row
                done = bus + after
                release[bank] = done if done > held else held
        if whole and opened:
            lane.act_order = slot
        self._count(lane, at, buses_free, pages, opened, conflicts, data)
        return first, bus

    def _activate_slot(self, lane: Lane, at: int, whole: bool) -> tuple[int, int]:
        """(when the first activate of a run may come, distance of activates); row buses are free at `at`."""
        delays = self.delays
        slot = max(at, lane.act_free)
        if whole:
            return max(slot, lane.act_order), max(delays.activate_gap, lane.siblings * delays.row_bus_miss)
        return slot, max(delays.activate_gap, lane.siblings * delays.row_bus_conflict)

    def _look(
        self, lane: Lane, at: int, hit: int, row: int, base: int, chunk: int, chunks: int, skip: int, left: int
    ) -> tuple[list[_Page], list[_Page], int]:
        """Pages of a row set with the `chunks` from `chunk` on: those open, those not, and what is left of the data.

        An open page is (first data, its number, until when the row stays open, bank, ps of data), another one (when
        it can be activated, its number, whether another row is open, bank, ps of data).
        """
        _, _, _, group_shift, groups = self._geometry
        rows, release, precharge, chunk_ps = lane.rows, lane.release, self.delays.precharge, self._chunk_ps
        turns: list[_Page] = []
        closed: list[_Page] = []
        for k in range(chunks if chunks < groups else groups):
            bank = base + ((chunk + k) & (groups - 1))
            held, old = release[bank], rows[bank]
            size = ((chunks + groups - 1 - k) >> group_shift) * chunk_ps - skip
            if size > left:
                size = left
            left -= size
            skip = 0
            if old == row:
                turns.append((hit, k, held, bank, size))
            elif old < 0:
                closed.append((at, k, 0, bank, size))
            else:
                closed.append(((held if held > at else at) + precharge, k, 1, bank, size))
        return turns, closed, left

    def _clear_of_refresh(self, act: int) -> int:
        """When an activate that could come at `act` does: the data that it leads to keep clear of windows."""
        lead = self.delays.read_open
        return self.refresh.align(act + lead) - lead if self.refresh.closes_rows else act

    def _around_refresh(self, lane: Lane, start: int, size: int) -> tuple[int, int]:
        """(first, last) data time of a page whose `size` ps of data meet a window; other rows are closed by it."""
        refresh, epoch = self.refresh, lane.epoch
        start = refresh.align(start)
        end = refresh.advance(start, size)
        if end + refresh.offset_ps > lane.quiet_to:
            self.meet_refresh(lane, end - 1)
            if refresh.closes_rows:
                self.counters.row_misses += (lane.epoch - epoch) * len(lane.channels)
        return start, end

    def _count(self, lane: Lane, at: int, buses_free: int, pages: int, opened: int, conflicts: int, data: int) -> None:
        """Add to the counters; charge the activates to the channel's rate and to the shared row bus."""
        channels, counters, delays = lane.channels, self.counters, self.delays
        width = len(channels)
        counters.row_hits += (pages - opened) * width
        if not opened:
            return
        counters.row_misses += (opened - conflicts) * width
        counters.row_conflicts += conflicts * width
        # Only what does not fall between the run's own data is charged, and at least the first activate.
        act_ps = delays.activate_gap
        row_ps = lane.siblings * (delays.row_bus_conflict if conflicts else delays.row_bus_miss)
        lane.act_free = self._after(lane, max(at, lane.act_free), max(act_ps, opened * act_ps - data))
        until = self._after(lane, max(at, buses_free), max(row_ps, opened * row_ps - data))
        self.row_buses.hold(channels, until, everyone=width == self.map.channels)

    def _after(self, lane: Lane, start: int, need: int) -> int:
        """`need` of row-command time later; commands stop for a refresh as the data they lead to do."""
        lead = self.delays.read_open
        elapsed = start + lead + self.refresh.offset_ps
        if lane.quiet_from <= elapsed <= lane.quiet_to - need or not self.refresh.closes_rows:
            return start + need
        return self.refresh.advance(start + lead, need) - lead

    def finish(self, lane: Lane, local: int, end: int, last: int, write: bool) -> None:
        """Book pages beyond the first row sets, and the rows that a refresh inside the run closed."""
        shift, width = self.map.row_set_shift, len(lane.channels)
        later = (local >> shift) + self.map.banks
        begin = max(local, ((end >> shift) - self.map.banks + 1) << shift)
        late = later <= end >> shift
        if late:
            pages = ((end >> shift) - later) * self.map.bank_groups
            in_last = ((end & ((1 << shift) - 1)) >> self.map.chunk_shift) + 1
            self.counters.row_conflicts += (pages + min(in_last, self.map.bank_groups)) * width
            begin = max(begin, later << shift)
        epoch = lane.epoch
        if self.refresh.interval_ps:
            self.meet_refresh(lane, last - 1)
        if lane.epoch != epoch and self.refresh.closes_rows:
            # The page set in use is opened again after each refresh; only data since the last one left rows open.
            self.counters.row_misses += (lane.epoch - epoch) * self.map.bank_groups * width
            window_end = lane.epoch * self.refresh.interval_ps - self.refresh.offset_ps
            since = max(0, last - 1 - window_end) // self.delays.burst << self._burst_shift
            self._mark(lane, max(end - since, begin if late else local), end, last, write)
        elif late:
            self._mark(lane, begin, end, last, write)

    def _mark(self, lane: Lane, begin: int, end: int, last: int, write: bool) -> None:
        """Leave the rows of local addresses begin..end open, the last data of the run being at `last`."""
        map_, groups, set_shift = self.map, self.map.bank_groups, self._set_chunk_shift
        after = self.delays.write_release if write else self.delays.read_release
        low, high = begin >> map_.chunk_shift, end >> map_.chunk_shift
        for row_set in range(high >> set_shift, (low >> set_shift) - 1, -1):
            first = max(low, row_set << set_shift)
            count = high - first + 1
            base = (row_set & (map_.banks - 1)) << map_.group_shift
            for k in range(min(count, groups) - 1, -1, -1):
                bank = base + ((first + k) & (groups - 1))
                lane.rows[bank] = row_set >> map_.bank_shift
                lane.release[bank] = last + after
                last -= ((count - k + groups - 1) >> map_.group_shift) * self._chunk_ps
            high = first - 1
