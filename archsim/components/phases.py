"""Booking of time and work to the phases that the program marks."""

from __future__ import annotations

from collections import deque

import attrs

from archsim.kernel.observer import Observer
from archsim.kernel.snapshot import Visitor


@attrs.define(eq=False)
class PhaseTotals:
    """Sums over all occurrences of one phase; cycles and bytes as dispatched."""

    count: int = 0
    time_ps: int = 0
    instructions: int = 0
    tensor_cycles: int = 0
    vector_cycles: int = 0
    hbm_read_bytes: int = 0
    hbm_write_bytes: int = 0
    noc_bytes: int = 0


_TOTALS = tuple(field.name for field in attrs.fields(PhaseTotals))


class PhaseRun:
    """One occurrence of a phase: operations dispatched in it and the last retirement so far."""

    __slots__ = ("closed", "end_ps", "index", "ledger", "pending", "totals")

    def __init__(self, ledger: PhaseLedger, index: int, totals: PhaseTotals) -> None:
        self.ledger = ledger
        self.index = index
        self.totals = totals
        self.pending = 0
        self.end_ps = 0
        self.closed = False

    def retired(self, finish_ps: int) -> None:
        """An operation of this phase will retire at `finish_ps`."""
        ledger = self.ledger
        if finish_ps > ledger.latest_ps:
            ledger.latest_ps = finish_ps
        end_ps = finish_ps + ledger.skipped_ps
        if end_ps > self.end_ps:
            self.end_ps = end_ps
        self.pending -= 1
        if self.closed and not self.pending:
            ledger.settle()


@attrs.define(eq=False)
class PhaseLedger:
    """The phases of one core, in program order.

    A phase's time runs from the retirement of the previous phase's last instruction to its own, so
    the times add up to the run. Work that retires before the previous phase does adds nothing.
    Ends of phases are kept in simulated time, what replay has skipped included.
    """

    totals: list[PhaseTotals]
    core: int = 0
    observers: tuple[Observer, ...] = ()
    settled_ps: int = 0
    latest_ps: int = 0
    """Latest known retirement of any operation, in kernel time."""
    skipped_ps: int = 0
    """Time that replay has skipped so far."""
    last: PhaseTotals | None = None
    """The phase that settled last."""
    _open: deque[PhaseRun] = attrs.field(factory=deque, init=False)

    def replay(self, visitor: Visitor) -> None:
        """Open occurrences and the ends of the settled ones, relative to now; all totals."""
        self.settled_ps = visitor.count(self.settled_ps)
        visitor.time(self.latest_ps)
        for run in self._open:
            visitor.state(run.index, run.pending, run.closed)
            run.end_ps = visitor.count(run.end_ps)
        visitor.state(len(self._open))
        for totals in self.totals:
            for name in _TOTALS:
                setattr(totals, name, visitor.count(getattr(totals, name)))

    def position(self, run: PhaseRun) -> int:
        """Place of an open occurrence, -1 for a settled one."""
        return next((i for i, other in enumerate(self._open) if other is run), -1)

    def begin(self, index: int) -> PhaseRun:
        """Start an occurrence of phase `index`."""
        run = PhaseRun(self, index, self.totals[index])
        run.totals.count += 1
        self._open.append(run)
        return run

    def close(self, run: PhaseRun, front_ps: int) -> None:
        """Dispatch has left the phase at `front_ps`."""
        run.closed = True
        if front_ps + self.skipped_ps > run.end_ps:
            run.end_ps = front_ps + self.skipped_ps
        self.settle()

    def extend(self, end_ps: int) -> None:
        """The run goes on to `end_ps` elsewhere: the last settled phase lasts until then."""
        if self.last is not None and end_ps > self.settled_ps:
            self.last.time_ps += end_ps - self.settled_ps
            self.settled_ps = end_ps

    def settle(self) -> None:
        """Book the time of every leading occurrence whose end is known."""
        runs = self._open
        while runs and runs[0].closed and not runs[0].pending:
            run = runs.popleft()
            self.last = run.totals
            start = self.settled_ps
            if run.end_ps > start:
                run.totals.time_ps += run.end_ps - start
                self.settled_ps = run.end_ps
            for observer in self.observers:
                observer.phase(self.core, run.index - 1, start, self.settled_ps)
