"""The kernel's contract: equal-time order, named waits, elaboration."""

from __future__ import annotations

import attrs
import pytest

from archsim.errors import DeadlockError, WiringError
from archsim.kernel.port import Queue
from archsim.kernel.simulation import Component, Process, Simulation


@attrs.define(eq=False)
class Writer(Component):
    """Writes its name to a log at given times."""

    times: tuple[int, ...]
    log: list[tuple[int, str]]

    def processes(self) -> tuple[Process, ...]:
        return (self.run(),)

    def run(self) -> Process:
        for time in self.times:
            yield self.sim.timeout(time - self.sim.now)
            self.log.append((self.sim.now, self.path))


def test_equal_times_run_in_the_order_of_scheduling() -> None:
    sim, log = Simulation(), []
    for name, times in (("a", (10, 20)), ("b", (10, 20)), ("c", (5, 20))):
        sim.add(Writer(name, sim, times, log))
    sim.elaborate()
    sim.run()
    # c scheduled its 20 at 5, before a and b did at 10.
    assert log == [(5, "c"), (10, "a"), (10, "b"), (20, "c"), (20, "a"), (20, "b")]


def test_what_is_triggered_now_runs_after_what_was_already_due_now() -> None:
    sim, log = Simulation(), []
    event = sim.event()

    def waiter() -> Process:
        yield event
        log.append("woken")

    sim.environment.process(waiter())
    sim.call_at(7, lambda: (log.append("trigger"), event.succeed()))
    sim.call_at(7, lambda: log.append("due"))
    sim.run()
    assert log == ["trigger", "due", "woken"]
    assert sim.now == 7


@attrs.define(eq=False)
class Consumer(Component):
    """Takes an item, then works for 10 ps."""

    queue: Queue[int]
    log: list[tuple[int, int]]

    def processes(self) -> tuple[Process, ...]:
        return (self.run(),)

    def run(self) -> Process:
        while True:
            while not self.queue.items:
                yield self.queue.wait_items()
            self.log.append((self.sim.now, self.queue.pop()))
            yield self.sim.timeout(10)


@attrs.define(eq=False)
class Producer(Component):
    """Pushes 0, 1, 2, ... as fast as the queue takes them."""

    queue: Queue[int]
    count: int
    done_ps: int = -1

    def processes(self) -> tuple[Process, ...]:
        return (self.run(),)

    def run(self) -> Process:
        for item in range(self.count):
            while self.queue.full:
                yield self.queue.wait_room()
            self.queue.push(item)
        self.done_ps = self.sim.now


@pytest.mark.parametrize(("depth", "done_ps"), [(1, 40), (2, 30), (3, 20), (5, 0), (6, 0)])
def test_a_queue_holds_its_depth_and_no_more(depth: int, done_ps: int) -> None:
    sim, log = Simulation(), []
    queue: Queue[int] = Queue(sim, depth)
    producer = Producer("producer", sim, queue, 6)
    sim.add(Consumer("consumer", sim, queue, log))
    sim.add(producer)
    sim.elaborate()
    sim.run()
    assert log == [(0, 0), (10, 1), (20, 2), (30, 3), (40, 4), (50, 5)]
    # The last of 6 items goes in when `depth` items or fewer are left: at the pop of item 6 - 1 - depth.
    assert producer.done_ps == max(0, 10 * (6 - 1 - depth)) == done_ps


@attrs.define(eq=False)
class Stuck(Component):
    """Waits for something that never comes."""

    def waiting(self) -> tuple[str, int] | None:
        return "nothing", 30


def test_the_end_with_somebody_waiting_is_a_deadlock() -> None:
    sim = Simulation()
    sim.add(Stuck("core0.front", sim))
    sim.elaborate()
    with pytest.raises(DeadlockError, match=r"^deadlock: core0.front waits for nothing since 30 ps$"):
        sim.run()


@attrs.define(eq=False)
class Loose(Component):
    """A component without its port."""

    def elaborate(self) -> None:
        raise self.unbound("memory", "MemoryPort")


def test_an_unbound_port_is_found_at_elaboration() -> None:
    sim = Simulation()
    sim.add(Loose("core0.dma", sim))
    with pytest.raises(WiringError, match=r"^core0.dma.memory: not connected; expected a MemoryPort$"):
        sim.elaborate()


def test_elapsed_time_counts_what_was_skipped() -> None:
    sim = Simulation()
    sim.call_at(40, lambda: None)
    sim.skipped_ps = 1000
    sim.run()
    assert (sim.now, sim.elapsed_ps) == (40, 1040)
