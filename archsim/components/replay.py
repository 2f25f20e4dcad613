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
from archsim.components.logbook import MAX_LOG, LogBook
from archsim.components.watch import LoopShare, LoopWatch, Repetition, Snapshot
from archsim.kernel.snapshot import Recorder, Skipper, Visitor

if TYPE_CHECKING:
    from archsim.components.decode import Decoded
    from archsim.components.frontend import FrontEnd
    from archsim.kernel.simulation import Simulation

TOLERANCE = 1_500
"""Where refresh is spread evenly anyway, repetitions from equal states may differ by one in so many of their time."""
MAX_LAG = 8
"""Iterations that may make up one repetition: the memory's clock and the core's need not be in step at every
iteration, only after a few."""


@attrs.define(eq=False)
class Replayer:
    """Watches the loops of core 0, on behalf of all cores."""

    sim: Simulation
    book: LogBook
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
            watch = LoopWatch(decoded.index, level, front.instructions, range(decoded.jump - 1, decoded.index + 1))
            self.watches.append(watch)
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
        snapshots.append(self._snapshot(watch.body))
        del snapshots[: -1 - 2 * MAX_LAG]
        if not (self._try_known(front, watch) or self._try_lags(front, watch)):
            watch.failures += len(snapshots) > 2
        self._trim()

    def _try_lags(self, front: FrontEnd, watch: LoopWatch) -> bool:
        """Skip if the last iterations, some number of them taken as one, repeat as many before them."""
        for lag in range(1, (len(watch.snapshots) - 1) // 2 + 1):
            seen = self._repetition(lag, *watch.snapshots[-1 - 2 * lag :: lag])
            if seen is not None and self._skip(front, watch, seen):
                if seen.exact:
                    self.known[watch.index] = Known.of(seen)
                return True
        return False

    def _repetition(self, lag: int, first: Snapshot, start: Snapshot, end: Snapshot) -> Repetition | None:
        """The last `lag` iterations, if they did what as many before them did."""
        if start.recorder.key != end.recorder.key or not start.recorder.comparable(first.recorder):
            return None
        before_ps = start.elapsed_ps - first.elapsed_ps
        found = self._again(*start.recorder.since(first.recorder), before_ps, start, end)
        if found is None:
            return None
        moves, totals, exact = found
        logs = self.book.between(first, start), self.book.between(start, end)
        return Repetition(lag, start, end, moves, totals, *logs, exact)

    def _again(
        self, moves: list[int], totals: list[int], before_ps: int, start: Snapshot, end: Snapshot
    ) -> tuple[list[int], list[int], bool] | None:
        """What addresses and totals moved by from `start` to `end`, and whether just as they did before.

        None where they did otherwise, or more than is forgiven: totals may differ where the way is long and took nearly
        the time of before.
        """
        moved, counted = end.recorder.since(start.recorder)
        exact, step_ps = (moved, counted) == (moves, totals), end.elapsed_ps - start.elapsed_ps
        near = self._forgiving(start, end) and abs(step_ps - before_ps) * TOLERANCE <= step_ps
        return (moved, counted, exact) if exact or (near and moved == moves) else None

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
        found = self._again(known.moves, known.totals, known.step_ps, start, end)
        if found is None:
            return False
        moves, totals, exact = found
        last = self.book.between(start, end)
        earlier = known.before(last)
        if earlier is None:
            return False
        return self._skip(front, watch, Repetition(known.lag, start, end, moves, totals, earlier, last, exact))

    def _snapshot(self, body: range) -> Snapshot:
        recorder = Recorder(self.sim.now, body)
        self._walk(recorder)
        recorder.state(self.sim.pending())
        iterations = {index: share.iterations for index, share in self.shares.items()}
        front = self.book.fronts[0]
        return Snapshot(recorder, self.sim.elapsed_ps, front.instructions, self.book.lengths(), iterations)

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
        evenness = Evenness(self.book.fronts, self.period_bytes, self._forgiving(start, end))
        times = self._times(front, seen, evenness)
        if not times:
            return False
        step_ps, before = seen.step_ps, front.instructions
        ends = [other.snapshots[-1].log_at for other in self.watches[:-1] if other.snapshots]
        self.book.skip(watch, seen, times, [max(at) for at in zip(*ends, strict=True)] or [0] * len(self.book.fronts))
        self._walk(Skipper(self.sim.now, seen.moves, seen.totals, times, watch.body))
        for observer in self.sim.observers:
            observer.replayed(self.sim.elapsed_ps, times * step_ps, times)
        self.sim.skipped_ps += times * step_ps
        for other in self.book.fronts:
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

    def loop_ended(self, front: FrontEnd, decoded: Decoded) -> None:
        """A loop of `front` has ended its last iteration."""
        if front.core:
            return
        self._forget(len(front.loops), decoded.index)
        if self.watches and self.watches[-1].level == len(front.loops):
            self.book.loop_ended(self.watches.pop())

    def bound_log(self, front: FrontEnd) -> None:
        """Where nobody looks at a log that has grown too long, start it anew."""
        assert front.log is not None
        if len(front.log) * len(self.book.fronts) > MAX_LOG:
            self._trim()

    def _trim(self) -> None:
        """Forget what no snapshot needs, and give up loops that touch too much."""
        if not self.book.trim(self.watches):
            for watch in self.watches[:-1]:
                watch.snapshots.clear()
                watch.failures = self.patience
