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
from typing import TYPE_CHECKING

import attrs

from archsim.components.evenness import Evenness
from archsim.components.known import Known
from archsim.components.touches import Logs, moved_back, single, sweep, take_effect
from archsim.kernel.snapshot import Recorder, Skipper, Visitor

if TYPE_CHECKING:
    from archsim.components.decode import Decoded
    from archsim.components.frontend import FrontEnd
    from archsim.kernel.simulation import Simulation

TOLERANCE = 10_000
"""Where refresh is spread evenly anyway, repetitions from equal states may differ by this part of their time."""
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
    instructions: int
    """Of core 0."""
    log_at: list[int]
    """Length of every core's log at this point."""
    iterations: dict[int, int]
    """Iterations of every loop so far."""


@attrs.define(eq=False)
class Swept:
    """What a skip has written to the logs, from `begin` to `end` of every core's."""

    begin: list[int]
    end: list[int]
    earlier: Logs
    last: Logs
    """What the last two iterations before the skip touched."""
    behind: int
    times: int
    """Iterations before the last one that are written with it, and iterations skipped."""

    def cut(self, core: int, keep: int) -> bool:
        """A core's log has lost its first `keep` entries; False where they are some of these."""
        self.begin[core] -= keep
        self.end[core] -= keep
        return self.begin[core] >= 0


@attrs.define(eq=False)
class LoopWatch:
    """One activation of a loop: the snapshots at its last ends."""

    index: int
    level: int
    executed: int
    snapshots: list[Snapshot] = attrs.field(factory=list)
    failures: int = 0
    swept: Swept | None = None
    """Of the last skip, if that took one iteration as a repetition, or several that touched alike."""


@attrs.frozen
class Repetition:
    """The last `lag` iterations of a loop, between two ends in equal states."""

    lag: int
    start: Snapshot
    end: Snapshot
    moves: list[int]
    totals: list[int]
    """What addresses and totals have moved by."""
    earlier: Logs
    last: Logs
    """What the `lag` iterations before these touched, and what these did, by core."""
    exact: bool
    """Whether totals moved by the same amounts before."""


@attrs.define(eq=False)
class LoopShare:
    """How much of a loop was replayed; `level` 1 is the outermost."""

    level: int
    iterations: int = 0
    replayed: int = 0
    nearly: int = 0
    """Of those replayed, the ones that were forgiven to differ a little."""


@attrs.define(eq=False)
class Replayer:
    """Watches the loops of core 0, on behalf of all cores."""

    sim: Simulation
    fronts: list[FrontEnd]
    parts: Sequence[Callable[[Visitor], None]]
    """The `replay` method of every component, in a fixed order."""
    period_bytes: int
    """HBM addresses this far apart behave alike."""
    forgiven: int | None = None
    """Dynamic instructions of an iteration from which on equal states are enough, though the ways between them differ
    a little: see `TOLERANCE`, `Evenness`. None: never."""
    minimum: int = 1000
    """Dynamic instructions of an iteration below which it is not worth describing the machine."""
    patience: int = 16
    """Ends of an activation that are described without a match before it is left alone."""
    watches: list[LoopWatch] = attrs.field(factory=list)
    known: dict[int, Known] = attrs.field(factory=dict)
    """The last repetition of every loop."""
    shares: dict[int, LoopShare] = attrs.field(factory=dict)
    replayed_ps: int = 0
    replayed_instructions: int = 0

    def iteration_ended(self, front: FrontEnd, decoded: Decoded) -> None:
        """A loop of `front` has ended an iteration, its trip count not yet counted down, and others are to come."""
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
        if not (self._try_known(front, watch) or self._try_lags(front, watch)):
            watch.failures += len(snapshots) > 2
        self._trim()

    def _try_lags(self, front: FrontEnd, watch: LoopWatch) -> bool:
        """Skip if the last iterations, some number of them taken as one, repeat as many before them."""
        for lag in range(1, (len(watch.snapshots) - 1) // 2 + 1):
            first, start, end = watch.snapshots[-1 - 2 * lag :: lag]
            if start.recorder.key != end.recorder.key or not start.recorder.comparable(first.recorder):
                continue
            before, moved = start.recorder.since(first.recorder), end.recorder.since(start.recorder)
            exact = before == moved
            if not exact and not (before[0] == moved[0] and self._nearly(first, start, end)):
                continue
            seen = Repetition(lag, start, end, *moved, self._logs(first, start), self._logs(start, end), exact)
            if self._skip(front, watch, seen):
                if exact:
                    self.known[watch.index] = Known(lag, end.recorder.key, *moved, seen.earlier, seen.last)
                return True
        return False

    def _nearly(self, first: Snapshot, start: Snapshot, end: Snapshot) -> bool:
        """Whether two long iterations took nearly the same time."""
        before, after = start.elapsed_ps - first.elapsed_ps, end.elapsed_ps - start.elapsed_ps
        return self._forgiving(start, end) and abs(after - before) * TOLERANCE <= after

    def _forgiving(self, start: Snapshot, end: Snapshot) -> bool:
        """Whether what lies between the two is long enough for differences to be forgiven."""
        return self.forgiven is not None and end.instructions - start.instructions >= self.forgiven

    def _try_known(self, front: FrontEnd, watch: LoopWatch) -> bool:
        """Skip if the last iterations did what repeated from the same state in an activation before this one."""
        known = self.known.get(watch.index)
        if known is None or len(watch.snapshots) <= known.lag:
            return False
        start, end = watch.snapshots[-1 - known.lag], watch.snapshots[-1]
        if not start.recorder.key == end.recorder.key == known.key:
            return False
        moved = end.recorder.since(start.recorder)
        if moved != (known.moves, known.totals):
            return False
        last = self._logs(start, end)
        earlier = known.before(last)
        if earlier is None:
            return False
        return self._skip(front, watch, Repetition(known.lag, start, end, *moved, earlier, last, exact=True))

    def _alike(self, ends: list[Snapshot], earlier: Logs, last: Logs) -> tuple[int, Snapshot]:
        """How many repetitions before the last one touched the same, moved back, and where the first of them began."""
        for behind in range(1, len(ends) - 1):
            logs = self._logs(ends[behind + 1], ends[behind])
            if not all(moved_back(*each, behind) for each in zip(logs, earlier, last, strict=True)):
                return behind - 1, ends[behind]
        return len(ends) - 2, ends[-1]

    def _logs(self, start: Snapshot, end: Snapshot) -> Logs:
        """What every core touched between the two."""
        spans = zip(self.fronts, start.log_at, end.log_at, strict=True)
        return [front.log[low:high] for front, low, high in spans if front.log is not None]

    def _snapshot(self) -> Snapshot:
        recorder = Recorder(self.sim.now)
        self._walk(recorder)
        recorder.state(self.sim.pending())
        iterations = {index: share.iterations for index, share in self.shares.items()}
        front = self.fronts[0]
        lengths = [len(each.log or ()) for each in self.fronts]
        return Snapshot(recorder, self.sim.elapsed_ps, front.instructions, lengths, iterations)

    def _walk(self, visitor: Visitor) -> None:
        for part in self.parts:
            part(visitor)

    def _times(self, front: FrontEnd, seen: Repetition, evenness: Evenness) -> int:
        """For how many further repetitions nothing that moves unevenly has an effect; 0 where that is not certain."""
        for core, (before, after) in enumerate(zip(seen.earlier, seen.last, strict=True)):
            if not evenness.compare(core, before, after):
                return 0
        times = evenness.limit((front.loops[-1] - 1) // seen.lag)
        return seen.end.recorder.limit(seen.moves, times)

    def _skip(self, front: FrontEnd, watch: LoopWatch, seen: Repetition) -> bool:
        """Repeat what the last iterations did, as often as is certain; False if that is not even once.

        What those before touched is written down with what those to come will touch, if it is alike: then
        the loops around this one find the same log however soon the repetition was seen.
        """
        start, end = seen.start, seen.end
        evenness = Evenness(self.fronts, self.period_bytes, self._forgiving(start, end))
        times = self._times(front, seen, evenness)
        if not times:
            return False
        step_ps = end.elapsed_ps - start.elapsed_ps
        before = front.instructions
        for other, old, new in zip(self.fronts, seen.earlier, seen.last, strict=True):
            take_effect(other, old, new, times)
        self._write_down(watch, seen, times)
        self._walk(Skipper(self.sim.now, seen.moves, seen.totals, times))
        for observer in self.sim.observers:
            observer.replayed(self.sim.elapsed_ps, times * step_ps, times)
        self.sim.skipped_ps += times * step_ps
        for other in self.fronts:
            other.ledger.skipped_ps = self.sim.skipped_ps
        self.replayed_ps += times * step_ps
        for index, share in self.shares.items():
            skipped = times * (end.iterations[index] - start.iterations.get(index, 0))
            share.iterations += skipped
            share.replayed += skipped
        if front.loops[-1] == 1:
            self.shares[watch.index].iterations -= 1  # the last one was counted already
        if not seen.exact or evenness.forgave:
            self.shares[watch.index].nearly += times * seen.lag
        self.replayed_instructions += front.instructions - before
        watch.executed = front.instructions
        watch.snapshots.clear()
        watch.failures = 0
        return True

    def _write_down(self, watch: LoopWatch, seen: Repetition, times: int) -> None:
        """Replace what the last repetitions touched by that and what `times` more will.

        Where the iterations of a repetition touch alike, they are written one by one: the log is then the same
        however many of them repeat.
        """
        ends, swept = watch.snapshots[::-1], None
        found = [single(*each, seen.lag) for each in zip(seen.earlier, seen.last, strict=True)]
        ones = [each for each in found if each is not None]
        if len(ones) == len(found) and self._logs(ends[1], ends[0]) == [last for _, last in ones]:
            earlier, last = [each for each, _ in ones], [each for _, each in ones]
            times *= seen.lag
            behind, begin = self._alike(ends, earlier, last)
            swept = Swept(list(begin.log_at), [], earlier, last, behind, times)
        else:
            earlier, last = seen.earlier, seen.last
            behind, begin = self._alike(ends[:: seen.lag], earlier, last)
        self._sweep(begin.log_at, earlier, last, behind, times)
        if swept is not None:
            swept.end = [len(front.log or ()) for front in self.fronts]
        watch.swept = swept

    def _sweep(self, begin: list[int], earlier: Logs, last: Logs, behind: int, times: int) -> None:
        for front, at, old, new in zip(self.fronts, begin, earlier, last, strict=True):
            assert front.log is not None
            front.log[at:] = sweep(old, new, behind, times)

    def loop_ended(self, front: FrontEnd, decoded: Decoded) -> None:
        """A loop of `front` has ended its last iteration: those after a skip that touched alike are written with it."""
        if front.core:
            return
        self._forget(len(front.loops), decoded.index)
        watch = self.watches[-1] if self.watches and self.watches[-1].level == len(front.loops) else None
        if watch is None or watch.swept is None:
            return
        swept, watch.swept = watch.swept, None
        ends = [swept.end, *(snapshot.log_at for snapshot in watch.snapshots)]
        ends.append([len(each.log or ()) for each in self.fronts])
        since = len(ends) - 1
        for core, each in enumerate(self.fronts):
            log = each.log
            assert log is not None
            for i in range(since):
                part = log[ends[i][core] : ends[i + 1][core]]
                if not moved_back(part, swept.earlier[core], swept.last[core], -(swept.times + i + 1)):
                    return
        self._sweep(swept.begin, swept.earlier, swept.last, swept.behind, swept.times + since)
        watch.snapshots.clear()

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
                    if watch.swept is not None and not watch.swept.cut(core, keep):
                        watch.swept = None
