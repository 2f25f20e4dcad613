"""Pages of channel runs: when they are open and their data move, and which rows stay open.

The pages of a row set take turns by their earliest data: those that are open go first, then the others in the order of
their activates, which come no sooner than a column command and lead to data later. One that is late does not hold up
the pages before it, but it holds up the row set behind it. A run of at least a write batch is longer than what the
controller sees of it at once, so its activates keep their order: each waits for the one before, and with it for
the bank that the one before had to wait for. The pages of shorter runs are all seen together; their activates only
keep a rate.
"""

from __future__ import annotations

import attrs

from archsim.memory.addressmap import AddressMap
from archsim.memory.delays import Delays
from archsim.memory.lane import Lane
from archsim.memory.rowbus import RowBuses
from archsim.memory.shapes import RunShape, ShapeBook


@attrs.define(eq=False)
class RowCounters:
    """Page openings and refreshes, summed over channels."""

    row_hits: int = 0
    row_misses: int = 0
    row_conflicts: int = 0
    refreshes: int = 0


@attrs.define(eq=False)
class PageOpener:
    """Opens the pages of runs on the lanes of one memory, which no refresh interrupts."""

    shapes: ShapeBook
    row_buses: RowBuses
    counters: RowCounters
    delays: Delays = attrs.field(init=False)
    map: AddressMap = attrs.field(init=False)
    _period_shift: int = attrs.field(init=False)
    _period_mask: int = attrs.field(init=False)
    _read: tuple[int, int, int] = attrs.field(init=False)
    _write: tuple[int, int, int] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Put together what the page loop reads."""
        self.map, self.delays = map_, delays = self.shapes.map, self.shapes.delays
        self._period_shift = map_.row_set_shift + map_.bank_shift
        self._period_mask = (1 << self._period_shift) - 1
        self._read = delays.read_column, delays.read_open, delays.read_release
        self._write = delays.write_column, delays.write_open, delays.write_release

    def open_pages(self, lane: Lane, shape: RunShape, local: int, at: int, bus: int, write: bool) -> tuple[int, int]:
        """Open the first row sets' pages of a run that arrives at `at`, and move their data from `bus` on.

        Returns when the first data and when the last ones of these row sets move.
        """
        column, open_ps, after = self._write if write else self._read
        rows, release, row, whole = lane.rows, lane.release, local >> self._period_shift, shape.whole
        precharge, active = self.delays.precharge, self.delays.row_active
        hit, first, opened, conflicts = at + column, -1, 0, 0
        for ahead, pages in shape.sets:
            wanted, closed = row + ahead, []
            for k, bank, size in pages:
                held, old = release[bank], rows[bank]
                if old == wanted:
                    start = bus if bus > hit else hit
                    first = start if first < 0 else first
                    bus = start + size
                    done = bus + after
                    release[bank] = done if done > held else held
                else:
                    closed.append(((held if held > at else at) + precharge if old >= 0 else at, k, bank, size))
                    conflicts += old >= 0
            if closed:
                if not opened:
                    slot, gap, buses_free = self._first_slot(lane, at, whole=whole)
                opened += len(closed)
                closed.sort()
                for ready, _, bank, size in closed:
                    act = ready if ready > slot else slot
                    slot = act + gap if whole else slot + gap
                    start = act + open_ps
                    if bus > start:
                        start = bus
                    first = start if first < 0 else first
                    bus = start + size
                    rows[bank] = wanted
                    done, held = bus + after, act + active
                    release[bank] = done if done > held else held
        self.counters.row_hits += (shape.pages - opened) * len(lane.channels)
        if opened:
            if whole:
                lane.act_order = slot
            self._charge(lane, at, buses_free, *self._count(lane, opened, conflicts, shape.data_ps))
        return first, bus

    def _first_slot(self, lane: Lane, at: int, *, whole: bool) -> tuple[int, int, int]:
        """(when a run's first activate may come, the distance of its activates, when the row buses are free)."""
        delays = self.delays
        slot = buses_free = self.row_buses.free(lane.buses)
        if at > slot:
            slot = at
        if lane.act_free > slot:
            slot = lane.act_free
        if whole and lane.act_order > slot:
            slot = lane.act_order
        row_ps = lane.buses.siblings * (delays.row_bus_miss if whole else delays.row_bus_conflict)
        return slot, row_ps if row_ps > delays.activate_gap else delays.activate_gap, buses_free

    def _count(self, lane: Lane, opened: int, conflicts: int, data: int) -> tuple[int, int]:
        """Count the pages that a run opened; time to charge to (the channel's activate rate, the shared row bus).

        Only what does not fall between the run's own data is charged, and at least the first activate.
        """
        counters, delays, width = self.counters, self.delays, len(lane.channels)
        counters.row_misses += (opened - conflicts) * width
        counters.row_conflicts += conflicts * width
        act_ps = delays.activate_gap
        row_ps = lane.buses.siblings * (delays.row_bus_conflict if conflicts else delays.row_bus_miss)
        acts_ps, rows_ps = opened * act_ps - data, opened * row_ps - data
        return acts_ps if acts_ps > act_ps else act_ps, rows_ps if rows_ps > row_ps else row_ps

    def _charge(self, lane: Lane, at: int, buses_free: int, act_ps: int, row_ps: int) -> None:
        """Charge time to the channel's activate rate and to the row bus, which was free at `buses_free`."""
        lane.act_free = (at if at > lane.act_free else lane.act_free) + act_ps
        self.row_buses.hold(lane.buses, (at if at > buses_free else buses_free) + row_ps)

    def _count_late(self, local: int, end: int, width: int) -> int:
        """Count the pages behind the first row sets of a run from `local` to `end` in `width` channels, all conflicts.

        Returns the first local address of the rows among them that the run leaves open.
        """
        shift, banks = self.map.row_set_shift, self.map.banks
        later, last = (local >> shift) + banks, end >> shift
        in_last = ((end & ((1 << shift) - 1)) >> self.map.chunk_shift) + 1
        pages = (last - later) * self.map.bank_groups + min(in_last, self.map.bank_groups)
        self.counters.row_conflicts += pages * width
        return max(later, last - banks + 1) << shift

    def _mark(self, lane: Lane, begin: int, end: int, last: int, write: bool) -> None:
        """Leave the rows of local addresses begin..end open, the last data of the run being at `last`."""
        map_, groups, set_shift = self.map, self.map.bank_groups, self.map.row_set_shift - self.map.chunk_shift
        chunk_ps, (_, _, after) = self.shapes.chunk_ps, self._write if write else self._read
        low, high = begin >> map_.chunk_shift, end >> map_.chunk_shift
        for row_set in range(high >> set_shift, (low >> set_shift) - 1, -1):
            first = max(low, row_set << set_shift)
            count = high - first + 1
            base = (row_set & (map_.banks - 1)) << map_.group_shift
            for k in range(min(count, groups) - 1, -1, -1):
                bank = base + ((first + k) & (groups - 1))
                lane.rows[bank] = row_set >> map_.bank_shift
                lane.release[bank] = last + after
                last -= ((count - k + groups - 1) >> map_.group_shift) * chunk_ps
            high = first - 1
