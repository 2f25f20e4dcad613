"""Replay: skipping loop iterations whose effect is known exactly.

At the end of an iteration the whole machine is described (see `archsim.kernel.snapshot`). Where three
ends of a loop, one or a few iterations apart, show

- equal state, times taken relative to now,
- addresses, registers and trip counts that moved by the same amounts twice, and
- totals that grew by the same amounts twice,

the iterations to come do the same once more, as long as nothing that moves unevenly reaches an
address, a count or a cost. The log of what an iteration touched is what guarantees that: addresses
that move at different rates must not meet, HBM addresses must keep their channel and bank, table
words must go on changing evenly, products must have a constant factor. Then `times` iterations are
skipped at once: everything moves on, and the time they take is added as an offset. SimPy's queue
keeps what it holds; nothing in it knows of the offset.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import attrs

from archsim.components.evenness import Evenness
from archsim.kernel.snapshot import Recorder, Skipper, Visitor

if TYPE_CHECKING:
    from archsim.components.decode import Decoded
    from archsim.components.frontend import FrontEnd
    from archsim.kernel.simulation import Simulation

LogEntry: TypeAlias = tuple[int, int, int, bool]
"""(what, where, how much, write): `what` is a space of `scoreboard.SPACES` or one of the codes below."""

LOAD, OPAQUE, STORE, PRODUCT, IDS, REMOTE = 10, 11, 12, 13, 14, 15
"""INT_MEM word loaded (address, value or -1), made unknown, stored (address, value); factors of a product; gather ids
(INT_MEM address, count); Vector SRAM range of another core."""

MAX_LAG = 8
"""Iterations that may make up one repetition: the memory's clock and the core's need not be in step at every
iteration, only after a few."""
MAX_LOG = 2_000_000
"""Entries kept, over all cores; a loop whose iterations touch more is not replayed."""


@attrs.define(eq=False)
class Snapshot:
    """The machine at the end of an iteration."""

    recorder: Recorder
    elapsed_ps: int
    log_at: list[int]
    """Length of every core's log at this point."""
    iterations: dict[int, int]
    """Iterations of every loop so far."""


@attrs.define(eq=False)
class LoopWatch:
    """One activation of a loop: the snapshots at its last ends."""

    index: int
    level: int
    executed: int
    snapshots: list[Snapshot] = attrs.field(factory=list)
    failures: int = 0
    skipped_instructions: int = 0


@attrs.define(eq=False)
class LoopShare:
    """How much of a loop was replayed; `level` 1 is the outermost."""

    level: int
    iterations: int = 0
    replayed: int = 0


@attrs.define(eq=False)
class Replayer:
    """Watches the loops of core 0, on behalf of all cores."""

    sim: Simulation
    fronts: list[FrontEnd]
    parts: Sequence[Callable[[Visitor], None]]
    """The `replay` method of every component, in a fixed order."""
    period_bytes: int
    """HBM addresses this far apart behave alike."""
    minimum: int = 1000
    """Dynamic instructions of an iteration below which it is not worth describing the machine."""
    patience: int = 16
    """Ends of an activation that are described without a match before it is left alone."""
    watches: list[LoopWatch] = attrs.field(factory=list)
    shares: dict[int, LoopShare] = attrs.field(factory=dict)
    replayed_ps: int = 0
    replayed_instructions: int = 0

    def back_edge(self, front: FrontEnd, decoded: Decoded) -> None:
        """A loop of `front` has ended an iteration and will begin another one."""
        if front.core:
            return
        level = len(front.loops)
        self._forget(level, decoded.index)
        share = self.shares.setdefault(decoded.index, LoopShare(level))
        share.iterations += 1
        if not self.watches or self.watches[-1].level < level:
            share.iterations += 1  # the last one, which has no back edge
            self.watches.append(LoopWatch(decoded.index, level, front.instructions))
            watch = self.watches[-1]
            if front.instructions < self.minimum:
                return
        else:
            watch = self.watches[-1]
            short = front.instructions - watch.executed < self.minimum
            watch.executed = front.instructions
            if short:
                watch.snapshots.clear()
                return
        if watch.failures < self.patience and front.loops[-1] >= 2:
            self._look(front, watch)

    def _forget(self, level: int, index: int) -> None:
        """Drop the watches of loops that have ended."""
        while self.watches and (
            self.watches[-1].level > level or (self.watches[-1].level == level and self.watches[-1].index != index)
        ):
            self.watches.pop()

    def _look(self, front: FrontEnd, watch: LoopWatch) -> None:
        snapshots = watch.snapshots
        snapshots.append(self._snapshot())
        del snapshots[: -1 - 2 * MAX_LAG]
        for lag in range(1, (len(snapshots) - 1) // 2 + 1):
            if self._try(front, watch, lag):
                break
        else:
            watch.failures += len(snapshots) > 2
        self._trim()

    def _try(self, front: FrontEnd, watch: LoopWatch, lag: int) -> bool:
        """Skip if the last `lag` iterations, taken as one, repeat the `lag` before them."""
        snapshots = watch.snapshots[-1 - 2 * lag :: lag]
        times = self._times(front, snapshots, lag)
        if not times:
            return False
        self._skip(front, snapshots, times)
        watch.executed = front.instructions
        watch.snapshots.clear()
        watch.failures = 0
        return True

    def _snapshot(self) -> Snapshot:
        recorder = Recorder(self.sim.now)
        self._walk(recorder)
        recorder.state(self.sim.pending())
        iterations = {index: share.iterations for index, share in self.shares.items()}
        return Snapshot(recorder, self.sim.elapsed_ps, [len(front.log or ()) for front in self.fronts], iterations)

    def _walk(self, visitor: Visitor) -> None:
        for part in self.parts:
            part(visitor)

    def _times(self, front: FrontEnd, snapshots: list[Snapshot], lag: int) -> int:
        """How many further iterations are known to repeat; 0 where that is not certain."""
        first, second, third = (snapshot.recorder for snapshot in snapshots)
        if second.key != third.key:
            return 0
        if not _even(first.affines, second.affines, third.affines):
            return 0
        if not _even(first.totals, second.totals, third.totals):
            return 0
        times = (front.loops[-1] - 1) // lag
        moves = _difference(second.affines, third.affines)
        evenness = Evenness(self.fronts, self.period_bytes)
        for core, (low, middle, high) in enumerate(zip(*(s.log_at for s in snapshots), strict=True)):
            log = self.fronts[core].log
            assert log is not None
            if not evenness.compare(core, log[low:middle], log[middle:high]):
                return 0
        times = evenness.limit(times)
        return min(times, _register_limit(third, moves, times))

    def _skip(self, front: FrontEnd, snapshots: list[Snapshot], times: int) -> None:
        _, second, third = snapshots
        affines = _difference(second.recorder.affines, third.recorder.affines)
        totals = _difference(second.recorder.totals, third.recorder.totals)
        step_ps = third.elapsed_ps - second.elapsed_ps
        before = front.instructions
        for core, other in enumerate(self.fronts):
            log = other.log
            assert log is not None
            last = log[second.log_at[core] : third.log_at[core]]
            earlier = log[snapshots[0].log_at[core] : second.log_at[core]]
            log.extend(_extend(other, earlier, last, times))
        self._walk(Skipper(self.sim.now, affines, totals, times))
        for observer in self.sim.observers:
            observer.replayed(self.sim.elapsed_ps, times * step_ps, times)
        self.sim.skipped_ps += times * step_ps
        for other in self.fronts:
            other.ledger.skipped_ps = self.sim.skipped_ps
        self.replayed_ps += times * step_ps
        for index, share in self.shares.items():
            skipped = times * (third.iterations[index] - second.iterations.get(index, 0))
            share.iterations += skipped
            share.replayed += skipped
        self.replayed_instructions += front.instructions - before

    def bound_log(self, front: FrontEnd) -> None:
        """Where nobody looks at a log that has grown too long, start it anew."""
        assert front.log is not None
        if len(front.log) * len(self.fronts) > MAX_LOG:
            self._trim()

    def _trim(self) -> None:
        """Cut what no snapshot needs from the start of the logs, and give up loops that touch too much."""
        starts = [watch.snapshots[0].log_at for watch in self.watches if watch.snapshots]
        for core, front in enumerate(self.fronts):
            log = front.log
            assert log is not None
            keep = min((start[core] for start in starts), default=len(log))
            if (len(log) - keep) * len(self.fronts) > MAX_LOG:
                for watch in self.watches[:-1]:
                    watch.snapshots.clear()
                    watch.failures = self.patience
                continue
            if keep > 0:
                del log[:keep]
                for watch in self.watches:
                    for snapshot in watch.snapshots:
                        snapshot.log_at[core] -= keep


def _difference(old: list[int], new: list[int]) -> list[int]:
    return [b - a for a, b in zip(old, new, strict=True)]


def _even(first: list[int], second: list[int], third: list[int]) -> bool:
    """Whether every value moved by the same amount twice."""
    if not len(first) == len(second) == len(third):
        return False
    return all(b - a == c - b for a, b, c in zip(first, second, third, strict=True))


def _register_limit(recorder: Recorder, moves: list[int], times: int) -> int:
    """Iterations for which no moving value leaves its range; addresses are checked closer by `Evenness`."""
    for value, move, top in zip(recorder.affines, moves, recorder.tops, strict=True):
        if move < 0:
            times = min(times, value // -move)
        elif move > 0:
            times = min(times, (top - value) // move)
    return times


def _extend(front: FrontEnd, earlier: list[LogEntry], last: list[LogEntry], times: int) -> list[LogEntry]:
    """What the skipped iterations have touched, for the loops around this one; unknown words made unknown."""
    entries: list[LogEntry] = []
    for (what, where0, much0, _), (_, where, much, write) in zip(earlier, last, strict=True):
        move = where - where0
        if what == LOAD:
            step = much - much0
            entries += [(LOAD, where + i * move, much + i * step, False) for i in range(1, times + 1)]
        elif what == STORE:
            entries.append((STORE, where, much + times * (much - much0), True))
        elif what == PRODUCT:
            entries.append((PRODUCT, where + times * move, much + times * (much - much0), False))
        elif what == OPAQUE:
            for i in range(1, times + 1):
                start = where + i * move
                front.int_mem[start : start + much] = [None] * much
                entries.append((OPAQUE, start, much, True))
        else:
            first, end = where + move, where + times * move
            low, high = min(first, end), max(first, end) + much
            if write and what < len(front.loaded or ()):
                assert front.loaded is not None
                front.loaded[what].write(low, high)
            entries.append((what, low, high - low, write))
    return entries
