"""What a channel remembers between runs; channels in the same state share one `Lane`."""

from __future__ import annotations

from collections.abc import Hashable

import attrs

from archsim.kernel.snapshot import Visitor
from archsim.memory.delays import QUANTUM_PS, Delays
from archsim.memory.rowbus import BusGroup

CLOSED = -1


@attrs.define(eq=False, kw_only=True)
class BusState:
    """A data bus: `bus_free` ends the last data, `write` is their direction.

    `turn_ps` is the gap still owed before a read may follow a write; `mixable` counts read bursts of the
    current backlog that no write has been matched with.
    """

    bus_free: int = 0
    write: bool = False
    turn_ps: int = 0
    mixable: int = 0

    def mixable_at(self, at: int, burst_ps: int) -> int:
        """What is left of `mixable` for a run that arrives at `at`: at most the bursts of the backlog then."""
        queued = (self.bus_free - at) // burst_ps if at < self.bus_free else 0
        return queued if queued < self.mixable else self.mixable


@attrs.define(eq=False, kw_only=True)
class Lane(BusState):
    """State of identically timed channels: absolute ps, and open rows by bank (index: bank x groups + group).

    `release` is the earliest precharge by bank; `act_free` is the activate-rate server, `act_order` when the
    next activate of a long run may come; `buses` are the row buses of the channels. `epoch` counts refreshes
    met, and in elapsed time none lies between `quiet_from` and `quiet_to`. `holes` are stretches (start, end) that
    the bus idled while a page was opened, which short later runs may use. `busy_ps` is data time per channel since
    the channel joined. `rows` is the only field that depends on addresses.
    """

    channels: tuple[int, ...]
    buses: BusGroup
    rows: list[int]
    release: list[int]
    act_free: int = 0
    act_order: int = 0
    epoch: int = 0
    quiet_from: int = 0
    quiet_to: int = 0
    holes: list[tuple[int, int]] = attrs.field(factory=list)
    busy_ps: int = 0

    def replay(self, visitor: Visitor, burst_ps: int) -> None:
        """Times relative to now; open rows move with the addresses that opened them."""
        now = visitor.now
        self.holes = [hole for hole in self.holes if hole[1] > now]
        mixable = self.mixable_at(now, burst_ps)
        visitor.state(self.channels, self.buses, self.write, self.turn_ps, mixable, len(self.holes))
        visitor.exact_time(max(self.bus_free, now - PAST_PS))
        for start, end in self.holes:
            visitor.time(start)
            visitor.time(end)
        visitor.time(self.act_free)
        visitor.time(self.act_order)
        visitor.state(tuple([max(time - now, 0) for time in self.release]), tuple([row < 0 for row in self.rows]))
        self.rows = [row if row < 0 else visitor.affine(row) for row in self.rows]

    def lose(self, since: int, time_ps: int) -> None:
        """Give up bus time behind the data booked from `since` on; their banks are held as much longer."""
        self.bus_free += time_ps
        self.release = [held + time_ps if held > since else held for held in self.release]

    def joins(self, other: Lane) -> bool:
        """Whether the two differ in nothing but times."""
        return self.rows == other.rows and self.epoch == other.epoch and self.write == other.write

    def delay_to(self, other: Lane) -> None:
        """Take the later of each time of this lane and another one that it `joins`; idle stretches both have."""
        self.bus_free = max(self.bus_free, other.bus_free)
        self.turn_ps = max(self.turn_ps, other.turn_ps)
        self.mixable = max(self.mixable, other.mixable)
        self.act_free = max(self.act_free, other.act_free)
        self.act_order = max(self.act_order, other.act_order)
        self.release = [max(a, b) for a, b in zip(self.release, other.release, strict=True)]
        self.holes = [hole for hole in self.holes if hole in other.holes]

    def busy_until(self, at: int) -> int:
        """When the bus is free for either direction; 0 for a run that arrives later."""
        until = self.bus_free + self.turn_ps
        return until if until > at else 0

    def key(self, at: int, burst_ps: int) -> Hashable:
        """Equal for lanes that no run arriving at or after `at` can tell apart."""
        idle = self.bus_free + self.turn_ps <= at
        holes = tuple([hole for hole in self.holes if hole[1] > at])
        mixable = self.mixable_at(at, burst_ps)
        bus = (0, False, 0, 0) if idle else (self.bus_free, self.write, self.turn_ps, mixable)
        release = tuple([t if t > at else 0 for t in self.release])
        return bus, holes, max(self.act_free, at), max(self.act_order, at), self.epoch, tuple(self.rows), release


WHOLE_BURSTS = 4
"""Bursts of a write from which on its part of a turn is rounded to whole nanoseconds."""
MAX_BACKLOG = 4096
"""Read bursts of a backlog that are remembered for mixing with writes: 128 KiB of a channel."""
PAST_PS = 100_000
"""A bus that has been free for longer than this, which is more than any turn of direction, owes none."""


def bus_ready(lane: BusState, delays: Delays, at: int, bursts: int, write: bool) -> int:
    """Earliest data of a run of `bursts`, as far as the bus and its direction are concerned; books the turn.

    Writes that arrive at an idle bus pay the plain gaps. Writes that arrive while reads are still queued
    (or the other way round) would be interleaved by the controller, which drains `write_batch` bursts at
    a time: every write burst that has a read burst to alternate with pays its part of one read-write-read
    turn per batch. With Ramulator's buffers that gives its 2:1 and 1:1 mixes within 2 %.
    """
    free = lane.bus_free
    if lane.mixable:
        lane.mixable = lane.mixable_at(at, delays.burst)
    if not write:
        mixable = lane.mixable + bursts
        lane.mixable = mixable if mixable < MAX_BACKLOG else MAX_BACKLOG
        if lane.write:
            free += lane.turn_ps
        lane.write, lane.turn_ps = False, 0
        return free
    gap, turn = delays.read_to_write, delays.write_to_read
    if at >= free:
        ready, lane.turn_ps = (free if lane.write else free + gap), turn
    else:
        ready = free + _mixed_turns(lane, delays, bursts)
    lane.write = True
    return ready


def _mixed_turns(lane: BusState, delays: Delays, bursts: int) -> int:
    """Bus time lost by a write run in a backlog; what is left of one whole turn stays owed."""
    mixed = min(bursts, lane.mixable)
    lane.mixable -= mixed
    pair = delays.read_to_write + delays.write_to_read
    lost = pair * mixed // delays.write_batch
    if mixed >= WHOLE_BURSTS:
        lost = (lost + QUANTUM_PS // 2) // QUANTUM_PS * QUANTUM_PS
    if bursts < delays.write_batch:
        # A short run shares its turn with the other writes of the batch.
        lane.turn_ps = 0 if mixed else lane.turn_ps
    elif not lane.write:
        lost = max(lost, delays.read_to_write)
        lane.turn_ps = max(0, pair - lost)
    return lost
