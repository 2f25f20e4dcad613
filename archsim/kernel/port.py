"""Typed ports: a bounded queue between one producer and one consumer."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

import attrs

from archsim.kernel.simulation import Event, Simulation

T = TypeVar("T")


@attrs.define(eq=False)
class Queue(Generic[T]):
    """A first-in first-out port of `depth` entries, as an sc_fifo.

    `push` when there is room and reading `items` when there are some enter no event into the
    kernel; only a producer that finds it full, or a consumer that finds it empty, waits.
    """

    sim: Simulation
    depth: int
    items: deque[T] = attrs.field(factory=deque, init=False)
    consumer: Event | None = attrs.field(default=None, init=False)
    producer: Event | None = attrs.field(default=None, init=False)

    @property
    def full(self) -> bool:
        """Whether a producer has to wait."""
        return len(self.items) >= self.depth

    def push(self, item: T) -> None:
        """Append an item; the producer has checked `full`."""
        self.items.append(item)
        consumer = self.consumer
        if consumer is not None:
            self.consumer = None
            consumer.succeed()

    def pop(self) -> T:
        """Take the oldest item and let a waiting producer go on."""
        item = self.items.popleft()
        producer = self.producer
        if producer is not None:
            self.producer = None
            producer.succeed()
        return item

    def wait_items(self) -> Event:
        """The event of the next push, for the consumer."""
        self.consumer = self.sim.event()
        return self.consumer

    def wait_room(self) -> Event:
        """The event of the next pop, for the producer."""
        self.producer = self.sim.event()
        return self.producer
