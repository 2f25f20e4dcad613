"""The channel run: all bytes of one request in one channel, timed in closed form.

Data move at the bus rate from the moment the bus is free and the first page is open. Pages of the
first row sets are looked at one by one (an open row hits, a closed one costs tRCD, another one tRP + tRCD,
each at the earliest after its bank's release and an activate slot; see `opening`); a row set that is late delays
all data behind it. Later pages of a long run are opened behind the data before them, so they cost only
a count; the run's time is O(banks) to compute, whatever its length.

Approximations: a page's data are one block (the controller groups hits); activate limits (tRRD, tFAW, row
bus) are rates, not windows, and the row bus is charged what does not fall between the run's own data. The data bus
keeps call order, but a run that is shorter than a write batch may use a stretch that the bus idled while
a page was opened: the controller's reordering.
"""

from __future__ import annotations

import attrs

from archsim.memory.delays import QUANTUM_PS
from archsim.memory.lane import Lane, bus_ready
from archsim.memory.opening import PageOpener
from archsim.memory.refresh import Spread

MAX_HOLES = 16


@attrs.define(eq=False)
class RunTimer(PageOpener):
    """Times runs on the lanes of one memory."""

    spread: Spread | None = None
    """Refresh without a phase, beside a `refresh` without windows."""

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
        if bursts >= delays.write_batch:
            first, last = self._in_order(lane, at, bus, local, end, data, write)
        elif queued and lane.holes:
            first, last = self._backfill(lane, at, bus, local, end, data, write)
        else:
            start, stop = self.open_pages(lane, at, bus, local, end, data, write, whole=False)
            first, last = self._book(lane, at, bus, start, stop, data)
            if last + offset > lane.quiet_to:
                self.finish(lane, local, end, last, write)
        if nbytes <= 2 * self.map.interleave:
            # One or two chunks leave bank groups unused: bursts of one group keep tCCD_L.
            alone = min(bursts, self.map.interleave >> shift)
            last = max(last, first + (alone - 1) * delays.same_group_gap + delays.burst)
        if self.spread is not None:
            charge = self.spread.charge(local, nbytes)
            last += charge
            lane.lose(bus, charge)
        return first, last

    def _in_order(self, lane: Lane, at: int, bus: int, local: int, end: int, data: int, write: bool) -> tuple[int, int]:
        """Book a run that is longer than what the controller sees at once; (first, last) data time."""
        first, last = self.open_pages(lane, at, bus, local, end, data, write, whole=True)
        later = ((local >> self.map.row_set_shift) + self.map.banks) << self.map.row_set_shift
        if end >= later:
            last = self.refresh.advance(last, self.data_ps(end + self.burst_bytes - later))
            self.finish(lane, local, end, last, write)
        last += self._rest(lane, at, bus, last - data)
        self._idle(lane, at, bus, first)
        lane.bus_free = last
        return first, last

    def _idle(self, lane: Lane, at: int, bus: int, first: int) -> None:
        """Remember the stretch that the bus idled before the first data."""
        idle = max(bus, at, lane.quiet_from - self.refresh.offset_ps)
        if first > idle:
            lane.holes = lane.holes[1 - MAX_HOLES :]
            lane.holes.append((idle, first))

    def _rest(self, lane: Lane, at: int, bus: int, origin: int) -> int:
        """What makes the time that a backlog idles for late pages whole ns, where replay may compare iterations."""
        return (bus - origin) % QUANTUM_PS if at < lane.bus_free and not self.refresh.interval_ps else 0

    def _book(self, lane: Lane, at: int, bus: int, start: int, stop: int, data: int) -> tuple[int, int]:
        """Put the data of a short run on the bus, around refresh; `start` and `stop` are its times without."""
        refresh, offset = self.refresh, self.refresh.offset_ps
        stop += self._rest(lane, at, bus, stop - data)
        first, last = start, stop
        if start + offset < lane.quiet_from or stop + offset > lane.quiet_to:
            first = refresh.align(start)
            last = refresh.advance(first + stop - data - start, data)
        if first == start:
            self._idle(lane, at, bus, start)
        lane.bus_free = last
        return first, last

    def _backfill(self, lane: Lane, at: int, bus: int, local: int, end: int, data: int, write: bool) -> tuple[int, int]:
        """Book a short run in an idle stretch if its pages are open in time, else at the end as usual."""
        start, stop = self.open_pages(lane, at, lane.holes[0][0], local, end, data, write, whole=False)
        origin = stop - data
        for index, (low, high) in enumerate(lane.holes):
            begin = max(origin, low)
            if begin + data <= high:
                rest = ((low, begin), (begin + data, high))
                lane.holes[index : index + 1] = [hole for hole in rest if hole[0] < hole[1]]
                lane.bus_free = bus
                return begin, begin + data
        first, last = self._book(lane, at, bus, max(start, bus), max(stop, bus + data), data)
        if last + self.refresh.offset_ps > lane.quiet_to:
            self.finish(lane, local, end, last, write)
        return first, last
