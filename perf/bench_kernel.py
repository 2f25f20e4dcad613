"""The kernel alone: what an event costs, and what an item costs that passes a queue."""

from __future__ import annotations

from time import perf_counter

import attrs
import pyperf

from archsim.kernel.port import Queue
from archsim.kernel.simulation import Component, Process, Simulation

PROCESSES = 10
EVENTS = 20_000
ITEMS = 20_000


@attrs.define(eq=False)
class Ticker(Component):
    """Waits `count` times for one period."""

    period_ps: int
    count: int

    def processes(self) -> tuple[Process, ...]:
        return (self.run(),)

    def run(self) -> Process:
        environment = self.sim.environment
        for _ in range(self.count):
            yield environment.timeout(self.period_ps)


@attrs.define(eq=False)
class Pair(Component):
    """A producer and a consumer at the two ends of a queue, both as fast as the queue lets them."""

    queue: Queue[int]
    count: int

    def processes(self) -> tuple[Process, ...]:
        return self.produce(), self.consume()

    def produce(self) -> Process:
        queue = self.queue
        for item in range(self.count):
            while queue.full:
                yield queue.wait_room()
            queue.push(item)

    def consume(self) -> Process:
        queue = self.queue
        for _ in range(self.count):
            while not queue.items:
                yield queue.wait_items()
            queue.pop()


def timed(sim: Simulation) -> float:
    sim.elaborate()
    start = perf_counter()
    sim.run()
    return perf_counter() - start


def events(loops: int) -> float:
    total = 0.0
    for _ in range(loops):
        sim = Simulation()
        for index in range(PROCESSES):
            sim.add(Ticker(f"ticker{index}", sim, 1000 + index, EVENTS // PROCESSES))
        total += timed(sim)
    return total


def items(loops: int, depth: int) -> float:
    total = 0.0
    for _ in range(loops):
        sim = Simulation()
        sim.add(Pair("pair", sim, Queue(sim, depth), ITEMS))
        total += timed(sim)
    return total


def main() -> None:
    runner = pyperf.Runner(processes=6)
    runner.bench_time_func("kernel: one timed event", events, inner_loops=EVENTS)
    runner.bench_time_func("kernel: one item through a queue of 1", items, 1, inner_loops=ITEMS)
    runner.bench_time_func("kernel: one item through a queue of 64", items, 64, inner_loops=ITEMS)


if __name__ == "__main__":
    main()
