"""The logs of all cores, for replay: what lies between two ends of a loop, and how skipped iterations are written.

A skip replaces the entries of the iterations that repeat by what those and the skipped ones touch together: an outer
loop then finds the same log however soon, and with whatever period, the inner one was seen to repeat.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from archsim.components.touches import Logs, Swept, single, take_effect
from archsim.components.watch import LoopWatch, Repetition, Snapshot

if TYPE_CHECKING:
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

    def skip(self, watch: LoopWatch, seen: Repetition, times: int, floor: list[int]) -> None:
        """Let `times` more repetitions take effect, and write them with those before them that touched alike.

        Where the iterations of a repetition touch alike, each is taken by itself. No core's log is written anew
        before its entry `floor`.
        """
        watch.swept = []
        for log, front, low, old, new in zip(self.logs, self.fronts, floor, seen.earlier, seen.last, strict=True):
            take_effect(front, old, new, times)
            one, count = single(old, new, seen.lag)
            swept = Swept.behind(log, low, *one, times * count)
            swept.write(log)
            watch.swept.append(swept)

    def loop_ended(self, watch: LoopWatch) -> None:
        """Write the iterations since the last skip with those of it, as far as they touched alike."""
        for log, swept in zip(self.logs, watch.swept, strict=False):
            swept.go_on(log)

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
