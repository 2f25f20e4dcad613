"""The logs of all cores, for replay: what lies between two ends of a loop, and how skipped iterations are written.

A skip replaces the entries of the iterations that repeat by what those and the skipped ones touch together: an outer
loop then finds the same log however soon, and with whatever period, the inner one was seen to repeat.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from archsim.components.touches import Logs, moved_back, single, sweep, take_effect
from archsim.components.watch import LoopWatch, Repetition, Snapshot, Swept

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archsim.components.frontend import FrontEnd
    from archsim.components.touches import LogEntry

MAX_LOG = 2_000_000
"""Entries kept, over all cores; a loop whose iterations touch more is not replayed."""


@attrs.define(eq=False)
class LogBook:
    """The logs that the front ends write."""

    fronts: list[FrontEnd]
    logs: list[list[LogEntry]] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        for front in self.fronts:
            front.log = []
            self.logs.append(front.log)

    def lengths(self) -> list[int]:
        """Entries of each log."""
        return [len(log) for log in self.logs]

    def between(self, start: Snapshot, end: Snapshot) -> Logs:
        """What every core touched between the two."""
        return [log[low:high] for log, low, high in zip(self.logs, start.log_at, end.log_at, strict=True)]

    def skip(self, watch: LoopWatch, seen: Repetition, times: int) -> None:
        """Let `times` more repetitions take effect, and write them with those before them that touched alike.

        Where the iterations of a repetition touch alike, each is taken by itself.
        """
        for front, old, new in zip(self.fronts, seen.earlier, seen.last, strict=True):
            take_effect(front, old, new, times)
        ends, lag, earlier, last = watch.snapshots[::-1], seen.lag, seen.earlier, seen.last
        found = [single(*each, lag) for each in zip(earlier, last, strict=True)]
        ones = [each for each in found if each is not None]
        alike = len(ones) == len(found) and self.between(ends[1], ends[0]) == [one for _, one in ones]
        if alike:
            earlier, last, times, lag = [one for one, _ in ones], [one for _, one in ones], times * lag, 1
        behind, begin = self._alike(ends[::lag], earlier, last)
        self._write(begin.log_at, earlier, last, behind, times)
        watch.swept = Swept(begin.log_at, self.lengths(), earlier, last, behind, times) if alike else None

    def _alike(self, ends: Sequence[Snapshot], earlier: Logs, last: Logs) -> tuple[int, Snapshot]:
        """How many repetitions before the last one touched the same, moved back, and where the first of them began."""
        for behind in range(1, len(ends) - 1):
            logs = self.between(ends[behind + 1], ends[behind])
            if not all(moved_back(*each, behind) for each in zip(logs, earlier, last, strict=True)):
                return behind - 1, ends[behind]
        return len(ends) - 2, ends[-1]

    def _write(self, begin: list[int], earlier: Logs, last: Logs, behind: int, times: int) -> None:
        for log, at, old, new in zip(self.logs, begin, earlier, last, strict=True):
            log[at:] = sweep(old, new, behind, times)

    def loop_ended(self, watch: LoopWatch) -> None:
        """Write the iterations since the last skip with those of it, if they touched alike."""
        swept, lengths = watch.swept, self.lengths()
        if swept is None or swept.end == lengths:
            return
        ends = [swept.end, *(snapshot.log_at for snapshot in watch.snapshots), lengths]
        for since, (start, end) in enumerate(zip(ends, ends[1:], strict=False), start=swept.times + 1):
            spans = zip(self.logs, start, end, swept.earlier, swept.last, strict=True)
            if not all(moved_back(log[low:high], old, new, -since) for log, low, high, old, new in spans):
                return
        self._write(swept.begin, swept.earlier, swept.last, swept.behind, swept.times + len(ends) - 1)

    def trim(self, watches: list[LoopWatch]) -> bool:
        """Cut what no snapshot needs from the start of the logs; False where what is needed is too much."""
        starts = [watch.snapshots[0].log_at for watch in watches if watch.snapshots]
        fits = True
        for core, log in enumerate(self.logs):
            keep = min((start[core] for start in starts), default=len(log))
            if (len(log) - keep) * len(self.logs) > MAX_LOG:
                fits = False
            elif keep:
                del log[:keep]
                for watch in watches:
                    watch.cut(core, keep)
        return fits
