"""Channel runs where refresh takes windows of time: what `channel` and `opening` do where one of them may be near.

Data stop for a window and go on behind it. A refresh of all banks also closes every row, and no activate may lead to
data inside its window. Runs shorter than a write batch open their pages as if there were no windows, and only their
data keep clear.
"""

from __future__ import annotations

import attrs

from archsim.memory.channel import RunTimer
from archsim.memory.lane import CLOSED, Lane
from archsim.memory.refresh import Refresh
from archsim.memory.shapes import RunShape

_Turn = tuple[int, int, int, int]


@attrs.define(eq=False)
class WindowTimer(RunTimer):
    """Times runs on the lanes of one memory between the windows of `refresh`."""

    refresh: Refresh

    def _place(self, lane: Lane, shape: RunShape, local: int, at: int, bus: int, write: bool) -> tuple[int, int]:
        hit = at + (self.delays.write_column if write else self.delays.read_column)
        self._meet(lane, bus if bus > hit else hit)
        return super()._place(lane, shape, local, at, bus, write)

    def _meet(self, lane: Lane, when: int) -> None:
        """Count the refreshes up to data time `when`; refreshing all banks closes every row."""
        if when + self.refresh.offset_ps < lane.quiet_to:
            return
        epoch = self.refresh.epoch(when)
        lane.quiet_from, lane.quiet_to = self.refresh.quiet(epoch)
        count = (epoch - lane.epoch) * len(lane.channels)
        if not count:
            return
        lane.epoch = epoch
        if self.refresh.closes_rows:
            self.counters.refreshes += count
            lane.rows = [CLOSED] * len(lane.rows)
        else:
            self.counters.refreshes += count * len(lane.rows)

    def _append(
        self, lane: Lane, shape: RunShape, local: int, at: int, bus: int, first: int, last: int, write: bool
    ) -> tuple[int, int]:
        refresh, offset, start = self.refresh, self.refresh.offset_ps, first
        if shape.late_ps:
            last = refresh.advance(last, shape.late_ps)
            self._finish(lane, shape, local, last, write)
        elif not shape.whole and (start + offset < lane.quiet_from or last + offset > lane.quiet_to):
            first = refresh.align(start)
            last = refresh.advance(first + last - shape.data_ps - start, shape.data_ps)
        if bus < first == start:
            self._idle(lane, max(bus, at, lane.quiet_from - offset), first)
        lane.bus_free = last
        if not shape.whole and last + offset > lane.quiet_to:
            self._finish(lane, shape, local, last, write)
        return first, last

    def open_pages(self, lane: Lane, shape: RunShape, local: int, at: int, bus: int, write: bool) -> tuple[int, int]:
        """The same as without windows for runs shorter than a write batch; data of others stop for windows."""
        if not shape.whole:
            return super().open_pages(lane, shape, local, at, bus, write)
        column, _, after = self._write if write else self._read
        offset, release, row = self.refresh.offset_ps, lane.release, local >> self._period_shift
        precharge, hit = self.delays.precharge, at + column
        first, opened, conflicts = -1, 0, 0
        for ahead, pages in shape.sets:
            self._meet(lane, bus if bus > hit else hit)
            wanted, rows, turns, closed = row + ahead, lane.rows, [], []
            for k, bank, size in pages:
                held, old = release[bank], rows[bank]
                if old == wanted:
                    turns.append((hit, held, bank, size))
                else:
                    closed.append(((held if held > at else at) + precharge if old >= 0 else at, k, bank, size))
                    conflicts += old >= 0
            if closed:
                if not opened:
                    slot, gap, buses_free = self._first_slot(lane, at, whole=True)
                opened += len(closed)
                slot = self._activate(lane, turns, closed, slot, gap, write)
            for ready, held, bank, size in turns:
                start = ready if ready > bus else bus
                bus = start + size
                if start + offset < lane.quiet_from or bus + offset > lane.quiet_to:
                    start, bus = self._around_windows(lane, start, size)
                first = start if first < 0 else first
                lane.rows[bank] = wanted
                done = bus + after
                release[bank] = done if done > held else held
        self.counters.row_hits += (shape.pages - opened) * len(lane.channels)
        if opened:
            lane.act_order = slot
            self._charge(lane, at, buses_free, *self._count(lane, opened, conflicts, shape.data_ps))
        return first, bus

    def _activate(self, lane: Lane, turns: list[_Turn], closed: list[_Turn], slot: int, gap: int, write: bool) -> int:
        """Append closed pages to the `turns` of their row set, in order of their activates; the slot after those.

        A turn is (earliest data, until when the row stays open, bank, ps of data).
        """
        open_ps, active = self.delays.write_open if write else self.delays.read_open, self.delays.row_active
        lead = self.delays.read_open
        shift = lead + self.refresh.offset_ps
        closed.sort()
        for ready, _, bank, size in closed:
            act = ready if ready > slot else slot
            if self.refresh.closes_rows and not lane.quiet_from <= act + shift < lane.quiet_to:
                # The data that an activate leads to keep clear of windows.
                act = self.refresh.align(act + lead) - lead
            slot = act + gap
            turns.append((act + open_ps, act + active, bank, size))
        return slot

    def _around_windows(self, lane: Lane, start: int, size: int) -> tuple[int, int]:
        """(first, last) data time of a page whose `size` ps of data meet a window; other rows are closed by it."""
        refresh, epoch = self.refresh, lane.epoch
        start = refresh.align(start)
        end = refresh.advance(start, size)
        if end + refresh.offset_ps > lane.quiet_to:
            self._meet(lane, end - 1)
            if refresh.closes_rows:
                self.counters.row_misses += (lane.epoch - epoch) * len(lane.channels)
        return start, end

    def _charge(self, lane: Lane, at: int, buses_free: int, act_ps: int, row_ps: int) -> None:
        lane.act_free = self._after(at if at > lane.act_free else lane.act_free, act_ps)
        self.row_buses.hold(lane.buses, self._after(at if at > buses_free else buses_free, row_ps))

    def _after(self, start: int, need: int) -> int:
        """`need` of row-command time later; commands stop for a refresh as the data they lead to do."""
        refresh, lead = self.refresh, self.delays.read_open
        if (
            not refresh.closes_rows
            or (start + lead + refresh.offset_ps) % refresh.interval_ps + need <= refresh.usable_ps
        ):
            return start + need
        return refresh.advance(start + lead, need) - lead

    def _finish(self, lane: Lane, shape: RunShape, local: int, last: int, write: bool) -> None:
        epoch = lane.epoch
        self._meet(lane, last - 1)
        if lane.epoch == epoch or not self.refresh.closes_rows:
            if shape.late_ps:
                super()._finish(lane, shape, local, last, write)
            return
        # The page set in use is opened again after each refresh; only data since the last one left rows open.
        width, end = len(lane.channels), local + shape.nbytes - 1
        begin = self._count_late(local, end, width) if shape.late_ps else local
        self.counters.row_misses += (lane.epoch - epoch) * self.map.bank_groups * width
        window_end = lane.epoch * self.refresh.interval_ps - self.refresh.offset_ps
        since = self.shapes.bytes_in(max(0, last - 1 - window_end))
        self._mark(lane, max(end - since, begin), end, last, write)
