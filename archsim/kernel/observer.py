"""What the outside may watch of a run. Components call these hooks; they never write files."""

from __future__ import annotations


class Observer:
    """Base of everything that watches a run; override what you need, the rest costs nothing.

    Times are picoseconds of simulated time. `track` is a unit's path such as "core0.vector".
    """

    def slice(self, track: str, name: str, start_ps: int, end_ps: int, phase: int) -> None:
        """An instruction or transfer occupied `track` from start to end, for phase index `phase`."""

    def counter(self, track: str, name: str, at_ps: int, value: int) -> None:
        """A level (queue depth, bytes in flight) of `track` changed to `value`."""

    def phase(self, core: int, phase: int, start_ps: int, end_ps: int) -> None:
        """A phase (index into the program's phase table) of `core` ended."""

    def replayed(self, start_ps: int, duration_ps: int, times: int) -> None:
        """`times` iterations of a loop, together `duration_ps` long, were skipped because they repeat."""

    def progress(self, at_ps: int, instructions: int) -> None:
        """Called now and then while the run goes on."""
