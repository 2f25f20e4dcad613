from __future__ import annotations

import random
from collections import Counter

import pytest

from archsim.errors import ConfigError
from archsim.noc.packet import Packet, PacketNetwork
from archsim.noc.packet_params import PacketParams
from archsim.noc.packet_traffic import HOT_SHARE, BernoulliSources, make_pattern
from archsim.noc.packet_wiring import build_wiring
from archsim.noc.params import NocParams

SQUARE = build_wiring(NocParams(topology="mesh", rows=4, cols=4))


class Listener:
    """Stands in for the network and keeps what it is offered."""

    def __init__(self) -> None:
        self.cycle = 0
        self.packets: list[Packet] = []

    def offer(self, packet: Packet) -> None:
        self.packets.append(packet)


def created(rate: float, cycles: int, seed: int = 1) -> list[Packet]:
    listener = Listener()
    sources = BernoulliSources(16, rate, make_pattern("uniform", SQUARE), random.Random(seed))
    for listener.cycle in range(cycles):
        sources.offer(listener)  # type: ignore[arg-type]
    return listener.packets


def draws(name: str, src: int = 5, count: int = 20_000) -> Counter[int]:
    pattern, rng = make_pattern(name, SQUARE), random.Random(2)
    return Counter(pattern(src, rng) for _ in range(count))


def test_uniform_draws_every_node_alike_the_source_too():
    counts = draws("uniform")
    assert sorted(counts) == list(range(16))
    assert all(abs(count - 1250) < 5 * 1250**0.5 for count in counts.values())


def test_transpose_exchanges_row_and_column():
    assert draws("transpose", src=6) == {9: 20_000}
    assert draws("transpose", src=5) == {5: 20_000}


def test_hotspot_prefers_the_middle_node():
    counts = draws("hotspot")
    hot = HOT_SHARE + (1 - HOT_SHARE) / 16
    assert abs(counts[8] / 20_000 - hot) < 0.02
    assert min(counts.values()) > 0


@pytest.mark.parametrize("params", [NocParams(topology="mesh", rows=2, cols=3), NocParams(topology="tree", cols=4)])
def test_transpose_needs_a_square(params):
    with pytest.raises(ConfigError, match="square"):
        make_pattern("transpose", build_wiring(params))


def test_unknown_patterns_name_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'uniform'"):
        make_pattern("unifrom", SQUARE)


@pytest.mark.parametrize("rate", [0.01, 0.3, 0.9])
def test_sources_create_at_the_rate_with_independent_cycles(rate):
    packets = created(rate, 4000)
    expected = 16 * 4000 * rate
    assert abs(len(packets) - expected) < 5 * (expected * (1 - rate)) ** 0.5
    by_node = [packet.created for packet in packets if packet.src == 3]
    assert len(set(by_node)) == len(by_node), "two packets of one node in one cycle"
    next_cycle = sum(b - a == 1 for a, b in zip(by_node, by_node[1:], strict=False)) / (len(by_node) - 1)
    assert abs(next_cycle - rate) < 5 * (rate / len(by_node)) ** 0.5


def test_every_cycle_from_the_first_one_counts():
    assert sum(packet.created == 0 for seed in range(200) for packet in created(0.5, 1, seed)) in range(1400, 1800)


def test_certainty_creates_one_packet_per_node_and_cycle():
    assert [packet.created for packet in created(1.0, 3)] == [0] * 16 + [1] * 16 + [2] * 16


def test_the_generator_decides_everything():
    def trace(seed: int) -> list[tuple[int, int, int]]:
        return [(packet.src, packet.dst, packet.created) for packet in created(0.2, 100, seed)]

    assert trace(7) == trace(7)
    assert trace(7) != trace(8)


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.01, float("nan")])
def test_rates_that_are_no_probability_are_refused(rate):
    with pytest.raises(ConfigError, match="rate"):
        created(rate, 1)


def test_sources_have_no_limit():
    net = PacketNetwork(SQUARE, PacketParams(vcs=1, buffer=1))
    sources = BernoulliSources(16, 1.0, make_pattern("uniform", SQUARE), random.Random(1))
    for _ in range(500):
        sources.offer(net)
        net.step()
    assert sum(map(len, net.backlog)) + net.in_flight + len(net.finished) == 16 * 500
