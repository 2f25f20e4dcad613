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
from archsim.memory.shapes import RunShape

MAX_HOLES = 16


@attrs.define(eq=False)
class RunTimer(PageOpener):
    """Times runs on the lanes of one memory without refresh windows: refresh is off, or spread over the data."""

    def serve(self, lane: Lane, at: int, local: int, nbytes: int, write: bool) -> tuple[int, int]:
        """Book a run of `nbytes` > 0 from local address `local`; (first, last) data time in ps."""
        shapes, phase = self.shapes, local & self._period_mask
        shape = shapes.known.get((phase, nbytes)) or shapes.make(phase, nbytes)
        if at >= lane.bus_free:
            at += shapes.spread.wait_ps
        bus = bus_ready(lane, self.delays, at, shape.bursts, write)
        lane.busy_ps += shape.data_ps
        if lane.holes and lane.holes[0][1] <= at:
            lane.holes = [hole for hole in lane.holes if hole[1] > at]
        first, last = self._place(lane, shape, local, at, bus, write)
        if last < first + shape.least_ps:
            last = first + shape.least_ps
        if shape.charge_ps:
            last += shape.charge_ps
            lane.lose(bus, shape.charge_ps)
        return first, last

    def _place(self, lane: Lane, shape: RunShape, local: int, at: int, bus: int, write: bool) -> tuple[int, int]:
        """Open the run's pages and book its data, from `bus` on or in an idle stretch; (first, last) data time."""
        if lane.holes and at < lane.bus_free and not shape.whole:
            return self._backfill(lane, shape, local, at, bus, write)
        first, last = self.open_pages(lane, shape, local, at, bus, write)
        return self._append(lane, shape, local, at, bus, first, last, write)

    def _append(
        self, lane: Lane, shape: RunShape, local: int, at: int, bus: int, first: int, last: int, write: bool
    ) -> tuple[int, int]:
        """Put a run behind all data, those of its first row sets lasting from `first` to `last`."""
        if shape.late_ps:
            last += shape.late_ps
            self._finish(lane, shape, local, last, write)
        if at < lane.bus_free:
            # What a backlog idles for late pages is whole ns, so that replay may find iterations equal.
            last += (bus + shape.data_ps - last) % QUANTUM_PS
        if first > bus:
            self._idle(lane, bus if bus > at else at, first)
        lane.bus_free = last
        return first, last

    def _finish(self, lane: Lane, shape: RunShape, local: int, last: int, write: bool) -> None:
        """Book the pages behind the first row sets of a run whose data end at `last`."""
        end = local + shape.nbytes - 1
        self._mark(lane, self._count_late(local, end, len(lane.channels)), end, last, write)

    def _idle(self, lane: Lane, since: int, first: int) -> None:
        """Remember the stretch that the bus idled from `since` before the first data."""
        if first > since:
            lane.holes = lane.holes[1 - MAX_HOLES :]
            lane.holes.append((since, first))

    def _backfill(self, lane: Lane, shape: RunShape, local: int, at: int, bus: int, write: bool) -> tuple[int, int]:
        """Book a short run in an idle stretch if its pages are open in time, else at the end as usual."""
        data = shape.data_ps
        start, stop = self.open_pages(lane, shape, local, at, lane.holes[0][0], write)
        origin = stop - data
        for index, (low, high) in enumerate(lane.holes):
            begin = max(origin, low)
            if begin + data <= high:
                rest = ((low, begin), (begin + data, high))
                lane.holes[index : index + 1] = [hole for hole in rest if hole[0] < hole[1]]
                lane.bus_free = bus
                return begin, begin + data
        return self._append(lane, shape, local, at, bus, max(start, bus), max(stop, bus + data), write)
