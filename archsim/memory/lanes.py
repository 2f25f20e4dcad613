"""Keeps channels of equal state together: split where requests treat them apart, merge when equal again."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import attrs

from archsim.kernel.snapshot import Visitor
from archsim.kernel.transfer import Share
from archsim.memory.addressmap import ChannelRuns
from archsim.memory.channel import RunTimer
from archsim.memory.lane import CLOSED, Lane

NEAR_SHIFT = 3
"""Channels that a transfer leaves apart by at most 1/8 of its own time go on together, at the latest one's time.

A small transfer in a few channels sets them back for good under a backlog. Without this each such
transfer would leave one more group of channels to be timed by itself; with it a long transfer ends at most 1/8 later.
"""
DEEP_PAGES = 32
"""They do so only behind a backlog of this many conflicts: channels that part are often in the same pages in another
order, so that a run behind them may find a page late in all that is late in none, at the cost of one conflict.
"""


@attrs.define(eq=False)
class LaneSet:
    """The run-level engine: every channel is in exactly one lane; `busy` is per channel, less the lanes' own."""

    timer: RunTimer
    lanes: list[Lane] = attrs.field(init=False)
    busy: list[int] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """All channels start idle, closed, and together."""
        map_ = self.timer.map
        banks = map_.banks * map_.bank_groups
        everyone = map_.all_channels
        buses = self.timer.row_buses.of(everyone, map_.channels)
        self.lanes = [Lane(channels=everyone, buses=buses, rows=[CLOSED] * banks, release=[0] * banks)]
        self.busy = [0] * map_.channels

    def busy_ps(self) -> list[int]:
        """Data time of every channel."""
        total = list(self.busy)
        for lane in self.lanes:
            for channel in lane.channels:
                total[channel] += lane.busy_ps
        return total

    def replay(self, visitor: Visitor) -> None:
        """Every lane in order, the row buses, and the channels' data time."""
        self._rejoin(visitor.now)
        for lane in self.lanes:
            self._settle(lane)
        visitor.state(len(self.lanes))
        for lane in self.lanes:
            lane.replay(visitor, self.timer.delays.burst)
        self.timer.row_buses.replay(visitor)
        visitor.count_list(self.busy)

    def serve(self, at: int, groups: Sequence[ChannelRuns], write: bool) -> list[Share]:
        """Book the runs of one request; channels with equal times come back as one share, in channel order."""
        if len(groups) == 1 and len(self.lanes) == 1 and len(groups[0].channels) == self.timer.map.channels:
            lane = self.lanes[0]
            return [Share(lane.channels, *self._serve_lane(lane, at, groups[0].runs, write))]
        found: dict[tuple[int, int, int], list[tuple[int, ...]]] = {}
        touched: list[Lane] = []
        for channels, runs in groups:
            for lane in self._select(channels):
                touched.append(lane)
                found.setdefault(self._serve_lane(lane, at, runs, write), []).append(lane.channels)
        shares = [Share(_united(parts), *times) for times, parts in found.items()]
        if len(touched) > 1:
            self._merge(at, touched)
            self._join_near(at, touched, self.timer.shapes.data_ps(min([key[0] for key in found])) >> NEAR_SHIFT)
            shares.sort()
        return shares

    def _serve_lane(self, lane: Lane, at: int, runs: Sequence[tuple[int, int]], write: bool) -> tuple[int, int, int]:
        """(bytes, first data, last data) of the runs, booked one after the other."""
        serve = self.timer.serve
        first, last, total = -1, 0, 0
        for local, nbytes in runs:
            begin, end = serve(lane, at, local, nbytes, write)
            total += nbytes
            if first < 0:
                first = begin
            if end > last:
                last = end
        return total, first, last

    def _select(self, channels: tuple[int, ...]) -> list[Lane]:
        """Lanes that make up exactly `channels`; lanes that reach beyond are split."""
        for lane in self.lanes:
            if lane.channels == channels:
                return [lane]
        wanted = set(channels)
        found: list[Lane] = []
        for lane in list(self.lanes):
            if wanted.isdisjoint(lane.channels):
                continue
            if wanted.issuperset(lane.channels):
                found.append(lane)
                continue
            inside = tuple([c for c in lane.channels if c in wanted])
            found.append(self._split(lane, inside))
        return found

    def _split(self, lane: Lane, inside: tuple[int, ...]) -> Lane:
        """Take `inside` out of the lane into one of their own."""
        taken = set(inside)
        rest = tuple([c for c in lane.channels if c not in taken])
        twin = attrs.evolve(lane, rows=list(lane.rows), release=list(lane.release), holes=list(lane.holes))
        self._populate(twin, inside)
        self._populate(lane, rest)
        self.lanes.append(twin)
        return twin

    def _merge(self, at: int, touched: Sequence[Lane]) -> None:
        """Unite lanes among `touched` whose state has become equal."""
        together: dict[int, list[Lane]] = {}
        for lane in touched:
            together.setdefault(lane.busy_until(at), []).append(lane)
        for lanes in together.values():
            if len(lanes) > 1:
                homes: dict[Hashable, Lane] = {}
                for lane in lanes:
                    home = homes.setdefault(lane.key(at, self.timer.delays.burst), lane)
                    if home is not lane:
                        self._unite(home, lane)

    def _rejoin(self, now: int) -> None:
        """Unite lanes that no run to come can tell apart: idle ones of whole physical channels, if any."""
        if len(self.lanes) > 1 and self.timer.row_buses.idle(now):
            self._merge(now, [lane for lane in self.lanes if lane.bus_free <= now and lane.buses.whole])

    def _join_near(self, at: int, touched: Sequence[Lane], slack_ps: int) -> None:
        """Unite lanes with the same rows open whose data end within `slack_ps` of each other, far enough from `at`."""
        delays, homes = self.timer.delays, list[Lane]()
        deep = at + DEEP_PAGES * (delays.precharge + delays.read_open)
        for lane in touched:
            if lane.bus_free < deep or lane not in self.lanes:
                continue
            for home in homes:
                if abs(home.bus_free - lane.bus_free) <= slack_ps and home.joins(lane):
                    home.delay_to(lane)
                    self._unite(home, lane)
                    break
            else:
                homes.append(lane)

    def _settle(self, lane: Lane) -> None:
        """Book the lane's data time to its channels."""
        for channel in lane.channels:
            self.busy[channel] += lane.busy_ps
        lane.busy_ps = 0

    def _unite(self, home: Lane, lane: Lane) -> None:
        self._settle(home)
        self._settle(lane)
        self._populate(home, _united((home.channels, lane.channels)))
        self.lanes.remove(lane)

    def _populate(self, lane: Lane, channels: tuple[int, ...]) -> None:
        lane.channels = channels
        lane.buses = self.timer.row_buses.of(channels, self.timer.map.channels)


def _united(parts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Disjoint sets of increasing channels as one."""
    if len(parts) == 1:
        return parts[0]
    return tuple(sorted([channel for part in parts for channel in part]))
