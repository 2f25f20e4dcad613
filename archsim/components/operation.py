"""An instruction in flight: what dispatch hands to a unit and what others may wait for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from archsim.kernel.simulation import Event
from archsim.kernel.snapshot import Visitor

if TYPE_CHECKING:
    from archsim.components.decode import Decoded
    from archsim.components.phases import PhaseRun
    from archsim.components.transfer import Transfer

UNKNOWN = -1
"""A time that is not known yet."""


class Operation:
    """One dynamic instruction between dispatch and retirement.

    `finish_ps` is known from the moment the operation starts, for every unit is deterministic from
    then on; before, it is UNKNOWN and `waiters` collects the events of those who need it.
    """

    __slots__ = (
        "cause",
        "cycles",
        "decoded",
        "depends",
        "effect",
        "finish_ps",
        "issue_ps",
        "latency",
        "phase",
        "rows_a",
        "rows_b",
        "share_a",
        "share_b",
        "transfer",
        "waiters",
    )

    def __init__(self, decoded: Decoded, issue_ps: int, phase: PhaseRun) -> None:
        self.decoded = decoded
        self.issue_ps = issue_ps
        self.phase = phase
        self.depends: list[Operation] = []
        self.finish_ps = UNKNOWN
        self.cycles = 0
        """Cycles the unit is taken before it can start the next operation."""
        self.latency = 0
        """Cycles from start to retirement, for units that do not move data off the core."""
        self.rows_a = 0
        """Row accesses on Vector SRAM port A."""
        self.rows_b = 0
        """Row accesses on Vector SRAM port B."""
        self.share_a = 0
        """Part of port A that they take, see `SharedPort.rate`."""
        self.share_b = 0
        """Part of port B."""
        self.cause = "operand"
        """What somebody who waits for this operation is stalled by."""
        self.transfer: Transfer | None = None
        self.waiters: list[Event] | None = None
        self.effect: Callable[[int], None] | None = None
        """Computes the operation's values, given its retirement time; None: the run is about time alone."""

    def started(self, finish_ps: int) -> None:
        """Make the retirement time known and wake whoever waits for it."""
        self.finish_ps = finish_ps
        self.phase.retired(finish_ps)
        if self.effect is not None:
            self.effect(finish_ps)
        if self.waiters is not None:
            for event in self.waiters:
                event.succeed()
            self.waiters = None

    def replay(self, visitor: Visitor) -> None:
        """Describe the operation the first time it is met, later only by its number."""
        number = visitor.seen.get(id(self))
        if number is not None:
            visitor.state(number)
            return
        visitor.seen[id(self)] = len(visitor.seen)
        visitor.state(self.decoded.index, self.cycles, self.latency, self.rows_a, self.rows_b, self.cause)
        visitor.state(self.finish_ps < 0, self.phase.ledger.position(self.phase))
        if self.finish_ps >= 0:
            visitor.time(self.finish_ps)
            return
        visitor.exact_time(self.issue_ps)
        for other in self.depends:
            if other.finish_ps < 0 or other.finish_ps > self.issue_ps:
                other.replay(visitor)
        visitor.state("depends")
        if self.transfer is not None:
            self.transfer.replay(visitor)

    def wait_started(self, event: Event) -> Event:
        """Have `event` triggered when the operation starts."""
        if self.waiters is None:
            self.waiters = []
        self.waiters.append(event)
        return event
