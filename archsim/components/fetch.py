"""Instruction fetch: the program lives in HBM; lines of it are held in the instruction buffer.

The buffer holds the most recently entered lines, oldest out first. Lines ahead of the one in use are
asked for in program order, so straight code is fetched once per pass, and a loop that fits in the
buffer is not fetched again.
"""

from __future__ import annotations

from collections import deque

import attrs

from archsim.components.params import FetchParams
from archsim.components.port import MemoryPort
from archsim.kernel.port import Queue
from archsim.kernel.simulation import Component, Event, Process
from archsim.kernel.snapshot import Visitor


@attrs.define(eq=False, kw_only=True)
class InstructionFetch(Component):
    """Fetches lines over the network when dispatch enters them or looks ahead."""

    params: FetchParams
    base: int
    """Byte address of the program in HBM."""
    lines: int
    """Lines of the program."""
    memory: MemoryPort
    requests: Queue[tuple[int, int]] = attrs.field(init=False)
    ready: dict[int, int] = attrs.field(factory=dict)
    """Ready time of each line in the buffer, -1 while it is not known."""
    order: deque[int] = attrs.field(factory=deque)
    fetched_lines: int = 0
    busy_ps: int = 0
    idle_ps: int = 0
    free_ps: int = 0
    _arrival: Event | None = None
    _wanted: int = -1

    def __attrs_post_init__(self) -> None:
        self.requests = Queue(self.sim, 1 << 30)

    @property
    def capacity(self) -> int:
        """Lines that the buffer holds."""
        return self.params.buffer // self.params.line

    def resident(self, line: int) -> bool:
        """Whether the arrival time of `line` is known."""
        return self.ready.get(line, -1) >= 0

    def ready_ps(self, line: int) -> int:
        """When a resident line can be used."""
        return self.ready[line]

    def request(self, line: int, at_ps: int) -> Event:
        """Ask for a line if nobody has; the event comes when its arrival time is known."""
        self._ask(line, at_ps)
        self._wanted = line
        self._arrival = self.sim.event()
        return self._arrival

    def look_ahead(self, line: int, at_ps: int) -> None:
        """Ask for the lines after `line` that are not in the buffer."""
        for ahead in range(line + 1, min(line + 1 + self.params.ahead, self.lines)):
            self._ask(ahead, at_ps)

    def _ask(self, line: int, at_ps: int) -> None:
        if line in self.ready:
            return
        if len(self.order) >= self.capacity:
            del self.ready[self.order.popleft()]
        self.ready[line] = -1
        self.order.append(line)
        self.requests.push((line, at_ps))

    def stop(self) -> None:
        """The program has ended: lines asked for ahead are not fetched any more."""
        self.requests.items.clear()

    def close(self, end_ps: int) -> None:
        """Up to `end_ps` the unit was idle where no line was under way."""
        if end_ps > self.free_ps:
            self.idle_ps += end_ps - self.free_ps
            self.free_ps = end_ps

    def end(self, end_ps: int) -> None:
        """The run ended at `end_ps`: lines still under way are no work of its time."""
        self.close(end_ps)
        self.busy_ps -= self.free_ps - end_ps
        self.free_ps = end_ps

    def replay(self, visitor: Visitor, lines: range | None = None) -> None:
        """Lines held, asked for and under way; what was fetched.

        A loop whose `lines`, and those ahead of them, are all there asks for none: it does not matter what else is.
        """
        self.close(visitor.now)
        if lines is None or not self._at_rest(lines, visitor.now):
            visitor.state(tuple(self.order), self._wanted, self._arrival is None, self.requests.consumer is None)
            for line in self.order:
                visitor.state(self.ready[line] < 0)
                visitor.time(self.ready[line])
            for line, at_ps in self.requests.items:
                visitor.state(line)
                visitor.exact_time(at_ps)
        visitor.time(self.free_ps)
        self.fetched_lines = visitor.count(self.fetched_lines)
        self.busy_ps = visitor.count(self.busy_ps)
        self.idle_ps = visitor.count(self.idle_ps)

    def _at_rest(self, lines: range, now: int) -> bool:
        """Whether nothing is under way, and the lines and those that are looked ahead for can be used."""
        there = range(lines.start, min(lines.stop + self.params.ahead, self.lines))
        waiting = self.requests.consumer is not None and self._arrival is None
        return waiting and all(0 <= self.ready.get(line, -1) <= now for line in there)

    def processes(self) -> tuple[Process, ...]:
        """One behaviour: `run`."""
        return (self.run(),)

    def run(self) -> Process:
        """Serve requests one after another."""
        size = self.params.line
        while True:
            while not self.requests.items:
                yield self.requests.wait_items()
            line, at_ps = self.requests.pop()
            if at_ps > self.sim.now:
                yield self.sim.timeout(at_ps - self.sim.now)
            start = self.sim.now
            finish, _ = self.memory.read(start, [(self.base + line * size, size)])
            self.fetched_lines += 1
            self.close(start)
            if finish > self.free_ps:
                self.busy_ps += finish - self.free_ps
                self.free_ps = finish
            if line in self.ready:
                self.ready[line] = finish
            if self._arrival is not None and line == self._wanted:
                self._arrival.succeed()
                self._arrival = None
