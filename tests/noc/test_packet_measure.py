from __future__ import annotations

import random

import pytest

from archsim.errors import ConfigError
from archsim.noc.packet_measure import MeasureParams, PacketResult, measure
from archsim.noc.packet_params import PacketParams
from archsim.noc.packet_wiring import build_wiring
from archsim.noc.params import NocParams

MESH = build_wiring(NocParams(topology="mesh", rows=4, cols=4))
SHORT = MeasureParams(window=500)


def run(
    rate: float, *, seed: int = 1, traffic: str = "uniform", how: MeasureParams = SHORT, **params: int
) -> PacketResult:
    return measure(MESH, PacketParams(**params), rate=rate, traffic=traffic, rng=random.Random(seed), how=how)


def test_low_load_is_zero_load():
    result = run(0.01)
    assert result.packet_latency == pytest.approx(4 * result.hops + 2, rel=0.005)
    assert result.packet_latency >= result.network_latency
    assert not result.saturated


def test_what_is_offered_is_accepted_below_saturation():
    result = run(0.4, packet_flits=4)
    assert result.accepted == pytest.approx(0.4, rel=0.03)
    assert result.settled
    assert result.packet_latency > result.network_latency > 4 * 3.5 + 2 + 3


def test_latency_rises_with_load():
    latencies = [run(rate).packet_latency for rate in (0.1, 0.4, 0.6, 0.7)]
    assert latencies == sorted(latencies)
    assert latencies[-1] > 1.2 * latencies[0]


def test_past_saturation_the_queues_grow_and_the_accepted_rate_does_not():
    result = run(0.9, vcs=1, how=MeasureParams(window=2000))
    assert result.saturated
    assert 0.3 < result.accepted < 0.4


def test_transpose_on_its_hottest_link():
    """Three of row 0's nodes send through its last link, so each has a third of it."""
    assert not run(0.3, traffic="transpose").saturated
    assert run(0.45, traffic="transpose", vcs=2, how=MeasureParams(window=2000, latency_limit=300)).saturated


def test_a_hot_sink_limits_everyone():
    """The hot node receives 0.297 of all flits, so 16 nodes may send 0.21 each."""
    assert not run(0.18, traffic="hotspot").saturated
    assert run(0.25, traffic="hotspot", how=MeasureParams(window=2000, latency_limit=300)).saturated


def test_few_packets_are_not_saturation():
    result = run(0.0005, how=MeasureParams(window=200))
    assert not result.saturated
    assert result.packet_latency == pytest.approx(4 * result.hops + 2)


def test_no_packet_at_all_is_an_error():
    with pytest.raises(ConfigError, match="rate"):
        run(1e-12, how=MeasureParams(window=10))


def test_measured_packets_are_those_of_the_windows():
    result = run(0.2)
    assert result.packets == pytest.approx(0.2 * 16 * 500 * 3, rel=0.05)
    assert 3000 < result.cycles < 3100


def test_seeds_decide():
    assert run(0.2) == run(0.2)
    assert run(0.2) != run(0.2, seed=2)
