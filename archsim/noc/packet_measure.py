"""One measurement at one offered rate: warm-up, windows until the averages stand still, drain.

The rule is that of BookSim 2's latency mode: after the warm-up windows, three windows in a row in which the
running averages of latency and of accepted rate change by less than 5 % end the measurement; the packets
created during it are then waited for, with the traffic still on. A network counts as saturated when the average
latency passes `latency_limit`, or when the averages do not settle in `max_windows` and less than 95 % of the
offered flits are accepted.
"""

from __future__ import annotations

import random

import attrs

from archsim.errors import ConfigError
from archsim.noc.packet import Packet, PacketNetwork
from archsim.noc.packet_oldest import packet_network
from archsim.noc.packet_params import PacketParams
from archsim.noc.packet_traffic import BernoulliSources, make_pattern
from archsim.noc.packet_wiring import Wiring
from archsim.validate import positive

_STEADY = 0.05
_STEADY_WINDOWS = 3
_KEPT_UP = 0.95
_DRAIN_CHECK = 32


@attrs.frozen(kw_only=True)
class MeasureParams:
    """Windows in cycles, and the latency in cycles above which a network counts as saturated."""

    window: int = attrs.field(default=5000, validator=positive)
    warmup_windows: int = attrs.field(default=3, validator=positive)
    max_windows: int = attrs.field(default=20, validator=positive)
    latency_limit: int = attrs.field(default=1000, validator=positive)


@attrs.frozen(kw_only=True)
class PacketResult:
    """Averages over the measured packets.

    `packet_latency` counts cycles from creation, `network_latency` from the head's injection, both to the
    tail's arrival; `hops` counts routers. `offered` and `accepted` are flits per node and cycle. When
    `saturated`, the latencies hold for the packets that came through and mean little; when not `settled`, the
    averages still moved by more than 5 % from window to window. `packets` were measured, `cycles` simulated.
    """

    offered: float
    packet_latency: float
    network_latency: float
    accepted: float
    hops: float
    saturated: bool
    settled: bool
    packets: int
    cycles: int


@attrs.define(eq=False)
class _Tally:
    """Sums over the packets created from `start` to before `end` (None: still open)."""

    hops_of: tuple[tuple[int, ...], ...]
    start: int = 0
    end: int | None = None
    packets: int = 0
    latency: int = 0
    in_network: int = 0
    hops: int = 0

    def take(self, finished: list[Packet]) -> None:
        for packet in finished:
            if packet.created >= self.start and (self.end is None or packet.created < self.end):
                self.packets += 1
                self.latency += packet.delivered - packet.created
                self.in_network += packet.delivered - packet.injected
                self.hops += self.hops_of[packet.src][packet.dst]
        finished.clear()

    def average(self, total: int) -> float:
        return total / self.packets if self.packets else 0.0


@attrs.define(eq=False)
class _Run:
    network: PacketNetwork
    sources: BernoulliSources
    params: MeasureParams
    tally: _Tally
    flits_before: int = 0

    def advance(self, cycles: int) -> None:
        """Simulate, and count what arrives."""
        network, sources = self.network, self.sources
        due, step, offer = sources.due, network.step, sources.offer
        for _ in range(cycles):
            if due[0][0] <= network.cycle:
                offer(network)
            step()
        self.tally.take(network.finished)

    def restart(self) -> None:
        """Measure from here on."""
        self.tally = _Tally(self.tally.hops_of, start=self.network.cycle)
        self.flits_before = self.network.flits_out

    def accepted(self) -> float:
        cycles = self.network.cycle - self.tally.start
        return (self.network.flits_out - self.flits_before) / (cycles * self.sources.nodes)

    def latency(self) -> float:
        return self.tally.average(self.tally.latency)

    def beyond(self) -> bool:
        """Whether the average latency has passed the limit."""
        return self.latency() > self.params.latency_limit

    def measure(self) -> bool:
        """Windows until steady; returns whether they became so."""
        params, steady = self.params, 0
        latency = accepted = 0.0
        for window in range(params.max_windows):
            if window <= params.warmup_windows and (window % 2 == 0 or window == params.warmup_windows):
                self.restart()
            self.advance(params.window)
            before = latency, accepted
            latency, accepted = self.latency(), self.accepted()
            if self.beyond():
                return False
            if window >= params.warmup_windows:
                still = _still(before[0], latency) and _still(before[1], accepted)
                steady = steady + 1 if still else 0
                if steady == _STEADY_WINDOWS:
                    return True
        return False

    def drain(self) -> None:
        """Wait for every measured packet, or until their latency has passed the limit."""
        self.tally.end = end = self.network.cycle
        while not self.beyond() and self.outstanding(end):
            self.advance(_DRAIN_CHECK)

    def outstanding(self, end: int) -> bool:
        """Whether a packet created before `end` is still on its way."""
        network = self.network
        heads = [queue[0].created for queue in network.backlog if queue]
        flits = [flit for queue in network.queues for flit in queue]
        flits += [flit for wire in network.wheel for _, flit in wire]
        return any(created < end for created in heads) or any(flit[0].created < end for flit in flits)


def _still(before: float, after: float) -> bool:
    return abs(after - before) <= _STEADY * after


def measure(
    wiring: Wiring,
    params: PacketParams,
    *,
    rate: float,
    traffic: str,
    rng: random.Random,
    how: MeasureParams | None = None,
) -> PacketResult:
    """Run one network at `rate` flits offered per node and cycle; raises ConfigError, see the parts.

    The same generator state gives the same result.
    """
    network = packet_network(wiring, params)
    pattern = make_pattern(traffic, wiring)
    sources = BernoulliSources(wiring.nodes, rate / params.packet_flits, pattern, rng, params.packet_flits)
    run = _Run(network, sources, how or MeasureParams(), _Tally(wiring.hops))
    settled = run.measure()
    accepted = run.accepted()
    run.drain()
    tally = run.tally
    if not tally.packets:
        raise ConfigError("rate", rate, "a rate at which a packet is created while measuring")
    return PacketResult(
        offered=rate,
        packet_latency=run.latency(),
        network_latency=tally.average(tally.in_network),
        accepted=accepted,
        hops=tally.average(tally.hops),
        saturated=run.beyond() or not (settled or accepted >= _KEPT_UP * rate),
        settled=settled,
        packets=tally.packets,
        cycles=network.cycle,
    )
