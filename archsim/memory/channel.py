"""The channel run: all bytes of one request in one channel, timed in closed form.

Data move at the bus rate from the moment the bus is free and the first page is open. Pages of the
first row sets are looked at one by one (an open row hits, a closed one costs tRCD, another one tRP + tRCD,
each at the earliest after its bank's release and an activate slot); a page that is late delays
all data behind it. Later pages of a long run are opened behind the data before them, so they cost only
a count; the run's time is O(banks) to compute, whatever its length.

Approximations: a page's data are one block (the controller groups hits); activate limits (tRRD, tFAW, row
bus) are rates, not windows, and are charged what does not fall between the run's own data. The data bus
keeps call order, but a run that is shorter than a write batch may use a stretch that the bus idled while
a page was opened: the controller's reordering.
"""

from __future__ import annotations

import attrs

from archsim.memory.addressmap import AddressMap
from archsim.memory.delays import QUANTUM_PS, Delays
from archsim.memory.lane import CLOSED, Lane, bus_ready
from archsim.memory.refresh import Refresh, Spread
from archsim.memory.rowbus import RowBuses

MAX_HOLES = 16


@attrs.define(eq=False)
class RowCounters:
    """Page openings and refreshes, summed over channels."""

    row_hits: int = 0
    row_misses: int = 0
    row_conflicts: int = 0
    refreshes: int = 0


@attrs.define(eq=False)
class RunTimer:
    """Times runs on the lanes of one memory."""

    delays: Delays
    map: AddressMap
    refresh: Refresh
    row_buses: RowBuses
    burst_bytes: int
    spread: Spread | None = None
    """Refresh without a phase, beside a `refresh` without windows."""
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

    def data_ps(self, nbytes: int) -> int:
        """Time that `nbytes` take on a channel's bus."""
        return (nbytes >> self._burst_shift) * self.delays.burst

    def serve(self, lane: Lane, at: int, local: int, nbytes: int, write: bool) -> tuple[int, int]:
        """Book a run of `nbytes` > 0 from local address `local`; (first, last) data time in ps."""
        delays, shift, offset = self.delays, self._burst_shift, self.refresh.offset_ps
        end = local + nbytes - 1
        bursts = (end >> shift) - (local >> shift) + 1
        data = bursts * delays.burst
        queued = at < lane.bus_free
        if not queued and self.spread is not None:
            at += self.spread.wait_ps
        bus = bus_ready(lane, delays, at, bursts, write)
        hit = at + (delays.write_column if write else delays.read_column)
        when = bus if bus > hit else hit
        if when + offset >= lane.quiet_to:
            self.meet_refresh(lane, when)
        lane.busy_ps += data
        if lane.holes:
            lane.holes = [hole for hole in lane.holes if hole[1] > at]
        if queued and lane.holes and bursts < delays.write_batch:
            first, last = self._backfill(lane, at, bus, local, end, data, write)
        else:
            start, origin = self._open_pages(lane, at, bus, local, end, data, write, queued=queued)
            if queued:
                origin += (bus - origin) % QUANTUM_PS
            first, last = self._book(lane, at, bus, start, origin, data)
            if last + offset > lane.quiet_to or (end - local) >> self.map.row_set_shift >= self.map.banks - 1:
                self._finish_long(lane, local, end, last, write)
        if nbytes <= 2 * self.map.interleave:
            # One or two chunks leave bank groups unused: bursts of one group keep tCCD_L.
            alone = min(bursts, self.map.interleave >> shift)
            last = max(last, first + (alone - 1) * delays.same_group_gap + delays.burst)
        if self.spread is not None:
            charge = self.spread.charge(local, nbytes)
            last += charge
            lane.lose(bus, charge)
        return first, last

    def _book(self, lane: Lane, at: int, bus: int, start: int, origin: int, data: int) -> tuple[int, int]:
        """Put the data on the bus, around refresh; remember the stretch it idled before them."""
        refresh, last = self.refresh, origin + data
        first, offset = start, refresh.offset_ps
        if start + offset < lane.quiet_from or last + offset > lane.quiet_to:
            first = refresh.align(start)
            last = refresh.advance(first + origin - start, data)
        if start > bus and first == start:
            idle = max(bus, at, lane.quiet_from - offset)
            lane.holes = lane.holes[1 - MAX_HOLES :]
            lane.holes.append((idle, start))
        lane.bus_free = last
        return first, last

    def _backfill(self, lane: Lane, at: int, bus: int, local: int, end: int, data: int, write: bool) -> tuple[int, int]:
        """Book a short run in an idle stretch if its pages are open in time, else at the end as usual."""
        start, origin = self._open_pages(lane, at, lane.holes[0][0], local, end, data, write)
        for index, (low, high) in enumerate(lane.holes):
            begin = max(origin, low)
            if begin + data <= high:
                rest = ((low, begin), (begin + data, high))
                lane.holes[index : index + 1] = [hole for hole in rest if hole[0] < hole[1]]
                lane.bus_free = bus
                return begin, begin + data
        first, last = self._book(lane, at, bus, max(start, bus), max(origin, bus), data)
        if last + self.refresh.offset_ps > lane.quiet_to:
            self._finish_long(lane, local, end, last, write)
        return first, last

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

    def _open_pages(
        self, lane: Lane, at: int, bus: int, local: int, end: int, data: int, write: bool, *, queued: bool = False
    ) -> tuple[int, int]:
        """Open the pages of the first row sets; (first data, first data if nothing behind it were late).

        Pages are read in order of address, except behind a backlog (`queued`): there the controller sees all
        of them before the first is due, and those that are open in time go before one that is late.
        """
        delays, map_, rows, release = self.delays, self.map, lane.rows, lane.release
        column, open_ps, after = self._write if write else self._read
        chunk_shift, set_shift, bank_shift, group_shift, groups = self._geometry
        slot = base_slot = max(at, lane.act_free, self.row_buses.free(lane.channels))
        gap = max(delays.activate_gap, lane.siblings * delays.row_bus_conflict)
        precharge, active, chunk_ps = delays.precharge, delays.row_active, self._chunk_ps
        chunk, last_chunk = local >> chunk_shift, end >> chunk_shift
        skip = ((local & (map_.interleave - 1)) >> self._burst_shift) * delays.burst
        start, origin, prefix, pages, conflicts = -1, bus, 0, 0, 0
        first_set = chunk >> set_shift
        for row_set in range(first_set, min(last_chunk >> set_shift, first_set + map_.banks - 1) + 1):
            row, base = row_set >> bank_shift, (row_set & (map_.banks - 1)) << group_shift
            limit = min(last_chunk, ((row_set + 1) << set_shift) - 1)
            count = limit - chunk + groups
            for k in range(min(count - groups + 1, groups)):
                bank = base + ((chunk + k) & (groups - 1))
                held, old = release[bank], rows[bank]
                pages += 1
                if old == row:
                    opened = at + column
                else:
                    opened = slot
                    if old >= 0:
                        conflicts += 1
                        opened = max(slot, (held if held > at else at) + precharge)
                    slot += gap
                    rows[bank] = row
                    held = opened + active
                    opened += open_ps
                size = ((count - k) >> group_shift) * chunk_ps - skip
                origin = max(origin, opened + size - data if queued else opened - prefix)
                if start < 0 or (queued and opened < start):
                    start = opened
                prefix += size
                skip = 0
                done = origin + (prefix if prefix < data else data) + after
                release[bank] = done if done > held else held
            chunk = limit + 1
        self._count(lane, at, pages, (slot - base_slot) // gap, conflicts, data)
        return max(start, bus), origin

    def _count(self, lane: Lane, at: int, pages: int, opened: int, conflicts: int, data: int) -> None:
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
        until = self._after(lane, max(at, self.row_buses.free(channels)), max(row_ps, opened * row_ps - data))
        self.row_buses.hold(channels, until, everyone=width == self.map.channels)

    def _after(self, lane: Lane, start: int, need: int) -> int:
        """`need` of row-command time later; commands stop for a refresh as the data they lead to do."""
        lead = self.delays.read_open
        elapsed = start + lead + self.refresh.offset_ps
        if lane.quiet_from <= elapsed <= lane.quiet_to - need or not self.refresh.closes_rows:
            return start + need
        return self.refresh.advance(start + lead, need) - lead

    def _finish_long(self, lane: Lane, local: int, end: int, last: int, write: bool) -> None:
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
