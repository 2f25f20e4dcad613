"""What replay remembers of a loop: the machine at its last ends, and what is known of the way between them."""

from __future__ import annotations

import attrs

from archsim.components.touches import Logs, Swept
from archsim.kernel.snapshot import Recorder


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
class LoopWatch:
    """One activation of a loop: the snapshots at its last ends."""

    index: int
    level: int
    executed: int
    body: range
    """Its instructions."""
    snapshots: list[Snapshot] = attrs.field(factory=list)
    failures: int = 0
    swept: list[Swept] = attrs.field(factory=list)
    """What the last skip wrote, by core."""

    def cut(self, core: int, count: int) -> None:
        """A core's log has lost its first `count` entries."""
        for snapshot in self.snapshots:
            snapshot.log_at[core] -= count
        if self.swept:
            self.swept[core].begin -= count
            self.swept[core].end -= count
            if self.swept[core].begin < 0:
                self.swept = []


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

    @property
    def step_ps(self) -> int:
        """Time they took."""
        return self.end.elapsed_ps - self.start.elapsed_ps


@attrs.define(eq=False)
class LoopShare:
    """How much of a loop was replayed; `level` 1 is the outermost."""

    level: int
    iterations: int = 0
    replayed: int = 0
    nearly: int = 0
    """Of those replayed, the ones that were forgiven to differ a little."""
