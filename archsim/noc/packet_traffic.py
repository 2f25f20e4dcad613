"""Who sends to whom, and when: destination patterns and Bernoulli sources."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable

import attrs

from archsim.errors import ConfigError
from archsim.noc.packet import Packet, PacketNetwork
from archsim.noc.packet_wiring import Wiring
from archsim.validate import nearest

HOT_SHARE = 0.25
"""Part of the packets that the hotspot pattern sends to its hot node; the rest is uniform."""

Pattern = Callable[[int, random.Random], int]
"""(source node, generator) -> destination node."""


def make_pattern(name: str, wiring: Wiring) -> Pattern:
    """The destination pattern `name` of `PATTERNS` on a network; raises ConfigError."""
    if name not in PATTERNS:
        raise ConfigError("traffic", name, nearest(name, PATTERNS))
    return PATTERNS[name](wiring)


def _uniform(wiring: Wiring) -> Pattern:
    """Any node, the source itself included, as the oracle's."""
    nodes = wiring.nodes
    return lambda _src, rng: int(rng.random() * nodes)


def _transpose(wiring: Wiring) -> Pattern:
    """Row and column exchanged."""
    if wiring.grid is None or wiring.grid[0] != wiring.grid[1]:
        raise ConfigError("traffic", "transpose", "a square mesh or torus for this pattern")
    side = wiring.grid[0]
    return lambda src, _rng: src % side * side + src // side


def _hotspot(wiring: Wiring) -> Pattern:
    """`HOT_SHARE` of all packets to the middle node, number nodes // 2; the rest uniform."""
    nodes, hot = wiring.nodes, wiring.nodes // 2
    return lambda _src, rng: hot if rng.random() < HOT_SHARE else int(rng.random() * nodes)


PATTERNS: dict[str, Callable[[Wiring], Pattern]] = {
    "uniform": _uniform,
    "transpose": _transpose,
    "hotspot": _hotspot,
}
"""Pattern name -> function that makes it for a network."""


@attrs.define(eq=False)
class BernoulliSources:
    """Every node creates a packet with probability `packet_rate` each cycle, independently.

    The gaps between packets are drawn, not every cycle's coin: `due` holds (cycle, node) of each node's next
    packet. All randomness comes from `rng`.
    """

    nodes: int
    packet_rate: float
    pattern: Pattern
    rng: random.Random
    packet_flits: int = 1
    due: list[tuple[int, int]] = attrs.field(factory=list, init=False)
    _log_miss: float = attrs.field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        """Draw each node's first packet; raises ConfigError for what is no probability."""
        if not 0 < self.packet_rate <= 1:
            raise ConfigError("rate", self.packet_rate, "above 0 and at most 1 packet per node and cycle")
        self._log_miss = math.log1p(-self.packet_rate) if self.packet_rate < 1 else 0.0
        self.due = [(self._gap() - 1, node) for node in range(self.nodes)]
        heapq.heapify(self.due)

    def _gap(self) -> int:
        """Cycles to the next success: geometric, at least 1."""
        if not self._log_miss:
            return 1
        return 1 + int(math.log(1.0 - self.rng.random()) / self._log_miss)

    def offer(self, network: PacketNetwork) -> None:
        """Hand over the packets that are created in the network's present cycle."""
        now, due = network.cycle, self.due
        while due[0][0] <= now:
            created, node = due[0]
            network.offer(Packet(node, self.pattern(node, self.rng), created, self.packet_flits))
            heapq.heapreplace(due, (created + self._gap(), node))
