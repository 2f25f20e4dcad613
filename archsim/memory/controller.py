"""The memory controller of one physical channel, command by command: queues, FR-FCFS, write drains, refresh.

Each tick at most one column command (a read or write burst) and one row command (activate, precharge, refresh)
start. Within the buffer that is being served, the oldest request whose next command is allowed goes first; a row is
not closed while an older request of that buffer hits it. A request whose row was opened for it moves to a set of
its own, which is served before the buffers and in either direction; its buffer entry is free again. Writes are
served while the write buffer drains: from above its high mark, or from any level while no reads wait, until it is
below its low mark and reads wait. A due refresh stops both buffers: the requests with a row of their own finish,
then each pseudo-channel in turn is precharged and refreshed.

This is the mechanism of the HBM controllers of Ramulator 2.1 (CMU-SAFARI/ramulator2, commit c5b1c3a) with the
scheduler FR-FCFS-RowHit, open rows and all-bank refresh. Not modelled: reads answered from buffered writes, and
writes merged with them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import attrs

from archsim.errors import ConfigError
from archsim.memory.commands import CommandState
from archsim.memory.opening import RowCounters
from archsim.memory.timing import DramTiming

NEVER = 1 << 60


@attrs.define(eq=False, slots=True)
class Burst:
    """One burst: `bank` as `CommandState` numbers it. Filled in: arrival, and the tick of its last data.

    `order` numbers the bursts as they arrived; `counted` is whether its row hit, miss or conflict was.
    """

    bank: int
    row: int
    write: bool
    arrive: int = -1
    done: int = -1
    order: int = 0
    counted: bool = False


@attrs.define(eq=False)
class Buffer:
    """The waiting reads or writes of a channel, oldest first in each bank.

    `hits` holds by bank the oldest request for the open row, `work` the oldest request of a bank whose row must be
    opened, or closed for it.
    """

    entries: int
    size: int = 0
    queues: dict[int, list[Burst]] = attrs.field(factory=dict)
    hits: dict[int, Burst] = attrs.field(factory=dict)
    work: dict[int, Burst] = attrs.field(factory=dict)

    def append(self, burst: Burst, row: int) -> None:
        """Add a request to its bank, whose open row is `row`."""
        self.size += 1
        self.queues.setdefault(burst.bank, []).append(burst)
        self.review(burst.bank, row)

    def remove(self, burst: Burst, row: int) -> None:
        """Take a request out of its bank, whose open row is `row`."""
        self.size -= 1
        self.queues[burst.bank].remove(burst)
        self.review(burst.bank, row)

    def review(self, bank: int, row: int) -> None:
        """Find what this bank's requests want next, `row` being open, or -1."""
        queue = self.queues.get(bank)
        hits, work = self.hits, self.work
        hit = None
        if queue and row >= 0:
            hit = next((burst for burst in queue if burst.row == row), None)
        if hit is None:
            hits.pop(bank, None)
        else:
            hits[bank] = hit
        if queue and queue[0] is not hit:
            work[bank] = queue[0]
        else:
            work.pop(bank, None)


@attrs.define(eq=False)
class Controller:
    """One physical channel: `offer` requests, then `step` to the next tick at which something can happen.

    `clock` is the last tick that was worked on; requests arrive at it. `finished` collects the reads whose last
    data have come by then, for whoever offered them to take. `log`, where given, receives each command as
    (tick, name, bank or pseudo-channel, row).
    """

    timing: DramTiming
    pseudo_channels: int = 2
    refreshing: bool = True
    log: list[tuple[int, str, int, int]] | None = None
    counters: RowCounters = attrs.field(factory=RowCounters)
    finished: list[Burst] = attrs.field(factory=list, init=False)
    clock: int = attrs.field(default=0, init=False)
    state: CommandState = attrs.field(init=False)
    reads: Buffer = attrs.field(init=False)
    writes: Buffer = attrs.field(init=False)
    opened: list[Burst] = attrs.field(factory=list, init=False)
    last_data: int = attrs.field(default=0, init=False)
    _draining: bool = attrs.field(default=False, init=False)
    _returning: deque[Burst] = attrs.field(factory=deque, init=False)
    _due: deque[int] = attrs.field(factory=deque, init=False)
    _next_refresh: int = attrs.field(default=NEVER, init=False)
    _wake: int = attrs.field(default=NEVER, init=False)
    _arrived: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        """Build the buffers and set the first refresh."""
        self.state = CommandState(self.timing, self.pseudo_channels)
        self.reads, self.writes = Buffer(self.timing.read_buffer), Buffer(self.timing.write_buffer)
        if self.refreshing:
            self._next_refresh = self.state.gaps.refresh_interval

    @property
    def busy(self) -> bool:
        """Whether requests wait for a command, or reads for their data."""
        return bool(self.reads.size or self.writes.size or self.opened or self._returning)

    def picoseconds(self, ticks: int) -> int:
        """`ticks` in ps, rounded up where ticks are half cycles of an odd number of ps."""
        return -(-ticks * self.timing.tck_ps // self.state.gaps.per_cycle)

    def ticks(self, picoseconds: int) -> int:
        """The first tick at or after that time."""
        return -(-picoseconds * self.state.gaps.per_cycle // self.timing.tck_ps)

    def offer(self, burst: Burst) -> bool:
        """Put a request into its buffer; False, and nothing done, where that is full."""
        buffer = self.writes if burst.write else self.reads
        if buffer.size >= buffer.entries:
            return False
        self._arrived += 1
        burst.arrive, burst.order = self.clock, self._arrived
        buffer.append(burst, self.state.rows[burst.bank])
        self._wake = self.clock + 1
        return True

    def step(self, limit: int = NEVER) -> None:
        """Go on to the next tick at which a command, data or a refresh is due, or to `limit` if that is earlier.

        Raises ConfigError where there is nothing to wait for.
        """
        wake = min(self._wake, self._next_refresh, limit)
        if self._returning:
            wake = min(wake, self._returning[0].done)
        if wake >= NEVER:
            raise ConfigError("memory controller", "no request and no refresh to wait for", "one of them, or a limit")
        now = self.clock = max(self.clock + 1, wake)
        while self._returning and self._returning[0].done <= now:
            self.finished.append(self._returning.popleft())
        if now >= self._next_refresh:
            self._next_refresh += self.state.gaps.refresh_interval
            self._due.extend(range(self.pseudo_channels))
        soonest = self._column(now)
        # The row command looks at what the column command left.
        self._wake = min(soonest, self._row(now))

    def _serving(self) -> Buffer:
        """The buffer whose turn it is."""
        writes, reads, timing = self.writes, self.reads, self.timing
        if not self._draining:
            self._draining = writes.size * 1000 > timing.drain_high * writes.entries or not reads.size
        elif writes.size * 1000 < timing.drain_low * writes.entries and reads.size:
            self._draining = False
        return writes if self._draining else reads

    def _column(self, now: int) -> int:
        """Start a read or write if one is allowed; the tick at which to look again."""
        best, soonest = self._first_column(self.opened, now)
        if best is not None:
            self.opened.remove(best)
            self._transfer(best, now)
            return now + 1
        if self._due:
            return soonest
        buffer = self._serving()
        best, later = self._first_column(buffer.hits.values(), now)
        if best is None:
            return min(soonest, later)
        self._transfer(best, now)
        buffer.remove(best, self.state.rows[best.bank])
        return now + 1

    def _first_column(self, bursts: Iterable[Burst], now: int) -> tuple[Burst | None, int]:
        """(the oldest of these that may transfer now, else None; the first tick at which one may)."""
        state, best, soonest = self.state, None, NEVER
        for burst in bursts:
            when = state.next_column(burst.bank, now, burst.write)
            if when > now:
                soonest = min(soonest, when)
            elif best is None or burst.order < best.order:
                best = burst
        return best, soonest

    def _transfer(self, burst: Burst, now: int) -> None:
        gaps = self.state.gaps
        self.state.do_column(burst.bank, now, burst.write)
        burst.done = now + gaps.burst + (gaps.write_data if burst.write else gaps.read_data)
        self.last_data = max(self.last_data, burst.done)
        if not burst.write:
            self._returning.append(burst)
        if not burst.counted:
            self.counters.row_hits += 1
        self._note(now, "WR" if burst.write else "RD", burst.bank, burst.row)

    def _row(self, now: int) -> int:
        """Start an activate, precharge or refresh if one is allowed; the tick at which to look again."""
        if self._due:
            return self._refresh(now)
        buffer = self._serving()
        state, best, soonest = self.state, None, NEVER
        busy = {burst.bank for burst in self.opened}
        for bank, burst in buffer.work.items():
            if state.rows[bank] < 0:
                when = state.next_activate(bank, now)
            elif bank in busy:
                continue
            else:
                when = state.next_precharge(bank)
            if when > now:
                soonest = min(soonest, when)
            elif best is None or burst.order < best.order:
                best = burst
        if best is None:
            return soonest
        self._prepare(best, buffer, now)
        return now + 1

    def _prepare(self, burst: Burst, buffer: Buffer, now: int) -> None:
        """Close or open the row of a request."""
        state, bank = self.state, burst.bank
        if state.rows[bank] >= 0:
            if not burst.counted:
                self.counters.row_conflicts += 1
            state.do_precharge(bank, now)
            self._note(now, "PRE", bank, -1)
        else:
            if not burst.counted:
                self.counters.row_misses += 1
            state.do_activate(bank, burst.row, now)
            self._note(now, "ACT", bank, burst.row)
            buffer.remove(burst, burst.row)
            self.opened.append(burst)
        burst.counted = True
        for each in (self.reads, self.writes):
            each.review(bank, state.rows[bank])

    def _refresh(self, now: int) -> int:
        """Carry the due refreshes on, one pseudo-channel after the other."""
        state, pc = self.state, self._due[0]
        if all(state.rows[bank] < 0 for bank in state.banks_of(pc)):
            when = state.next_refresh(pc, now)
            if when > now:
                return when
            state.do_refresh(pc, now)
            self._note(now, "REF", pc, -1)
            self.counters.refreshes += 1
            self._due.popleft()
            return now + 1
        if any(state.pseudo[burst.bank] == pc for burst in self.opened):
            return now + 1
        when = state.next_precharge_all(pc)
        if when > now:
            return when
        state.do_precharge_all(pc, now)
        self._note(now, "PREA", pc, -1)
        for bank in state.banks_of(pc):
            self.reads.review(bank, -1)
            self.writes.review(bank, -1)
        return now + 1

    def _note(self, now: int, name: str, where: int, row: int) -> None:
        if self.log is not None:
            self.log.append((now, name, where, row))
