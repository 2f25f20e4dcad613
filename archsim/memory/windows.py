"""Channel runs where refresh takes windows of time: what `channel` and `opening` do where one of them may be near.

Data stop for a window and go on behind it. A refresh of all banks also closes every row, and no activate may lead to
data inside its window. Runs shorter than a write batch open their pages as if there were no windows, and only their
data keep clear.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from archsim.memory.channel import RunTimer
from archsim.memory.lane import CLOSED, Lane
from archsim.memory.refresh import Refresh
from archsim.memory.shapes import Page, RunShape

_Page = tuple[int, int, int, int]


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
        if first == start:
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
        offset, row, hit = self.refresh.offset_ps, local >> self._period_shift, at + column
        first, opened, conflicts = -1, 0, 0
        for ahead, pages in shape.sets:
            self._meet(lane, bus if bus > hit else hit)
            turns, closed = self._look(lane, pages, row + ahead, at, hit)
            if closed:
                if not opened:
                    slot, gap, buses_free = self._first_slot(lane, at, whole=True)
                opened += len(closed)
                conflicts += sum([ready > at for ready, _, _, _ in closed])
                slot = self._activate(turns, closed, slot, gap, write)
            for ready, held, bank, size in turns:
                start = ready if ready > bus else bus
                bus = start + size
                if start + offset < lane.quiet_from or bus + offset > lane.quiet_to:
                    start, bus = self._around_windows(lane, start, size)
                first = start if first < 0 else first
                lane.rows[bank] = row + ahead
                lane.release[bank] = bus + after if bus + after > held else held
        self.counters.row_hits += (shape.pages - opened) * len(lane.channels)
        if opened:
            lane.act_order = slot
            self._charge(lane, at, buses_free, *self._count(lane, opened, conflicts, shape.data_ps))
        return first, bus

    def _look(self, lane: Lane, pages: Sequence[Page], row: int, at: int, hit: int) -> tuple[list[_Page], list[_Page]]:
        """The pages of a row set, those open and those not.

        An open page is (first data, until when the row stays open, bank, ps of data), another one (when it can be
        activated, its number, bank, ps of data).
        """
        rows, release, precharge = lane.rows, lane.release, self.delays.precharge
        turns, closed = [], []
        for k, bank, size in pages:
            held, old = release[bank], rows[bank]
            if old == row:
                turns.append((hit, held, bank, size))
            else:
                closed.append(((held if held > at else at) + precharge if old >= 0 else at, k, bank, size))
        return turns, closed

    def _activate(self, turns: list[_Page], closed: list[_Page], slot: int, gap: int, write: bool) -> int:
        """Append pages to be opened to the `turns` of a row set, in order of their activates; the slot after those."""
        open_ps, active = self.delays.write_open if write else self.delays.read_open, self.delays.row_active
        lead, closes_rows = self.delays.read_open, self.refresh.closes_rows
        closed.sort()
        for ready, _, bank, size in closed:
            act = ready if ready > slot else slot
            if closes_rows:
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
        lane.act_free = self._after(lane, at if at > lane.act_free else lane.act_free, act_ps)
        self.row_buses.hold(lane.buses, self._after(lane, at if at > buses_free else buses_free, row_ps))

    def _after(self, lane: Lane, start: int, need: int) -> int:
        """`need` of row-command time later; commands stop for a refresh as the data they lead to do."""
        lead = self.delays.read_open
        elapsed = start + lead + self.refresh.offset_ps
        if lane.quiet_from <= elapsed <= lane.quiet_to - need or not self.refresh.closes_rows:
            return start + need
        return self.refresh.advance(start + lead, need) - lead

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
