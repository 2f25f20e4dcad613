from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsim.errors import ConfigError
from archsim.noc.packet import Packet, PacketNetwork
from archsim.noc.packet_params import PacketParams
from archsim.noc.packet_wiring import build_wiring
from archsim.noc.params import NocParams
from archsim.validate import BadValue

LINE = build_wiring(NocParams(topology="mesh", rows=1, cols=3))
MESH = build_wiring(NocParams(topology="mesh", rows=3, cols=3))
RING = build_wiring(NocParams(topology="ring", cols=5))
TORUS = build_wiring(NocParams(topology="torus", rows=3, cols=4))
TREE = build_wiring(NocParams(topology="tree", cols=5, arity=2))


def network(wiring=MESH, **params: int) -> PacketNetwork:
    return PacketNetwork(wiring, PacketParams(**params))


def carry(net: PacketNetwork, *pairs: tuple[int, int], limit: int = 10_000) -> list[Packet]:
    """Offer one packet for each (source, destination) at once and run until all have arrived."""
    packets = [Packet(src, dst, net.cycle, net.params.packet_flits) for src, dst in pairs]
    for packet in packets:
        net.offer(packet)
    for _ in range(limit):
        if len(net.finished) == len(packets):
            break
        net.step()
    assert len(net.finished) == len(packets), "did not arrive"
    return packets


@pytest.mark.parametrize("flits", [1, 2, 5])
@pytest.mark.parametrize("wiring", [MESH, RING, TREE], ids=["mesh", "ring", "tree"])
def test_zero_load_latency_is_four_cycles_a_router(wiring, flits):
    for src in range(wiring.nodes):
        for dst in range(wiring.nodes):
            (packet,) = carry(network(wiring, packet_flits=flits), (src, dst))
            assert packet.delivered - packet.created == 4 * wiring.hops[src][dst] + 2 + flits - 1


def test_zero_load_latency_grows_with_the_wires():
    wiring = build_wiring(NocParams(topology="mesh", rows=1, cols=3, link_latency=4))
    (packet,) = carry(network(wiring), (0, 2))
    assert packet.delivered == 3 * 3 + 4 * 4 + 1  # pipelines, links, the source's cycle


def test_a_packet_arrives_in_its_cycle_and_not_before():
    net = network(LINE)
    net.offer(Packet(0, 0, 0, net.params.packet_flits))
    for _ in range(6):
        net.step()
    assert not net.finished
    assert net.in_flight == 1
    net.step()
    assert net.finished[0].delivered == 6
    assert net.in_flight == 0


@pytest.mark.parametrize(("buffer", "gap"), [(1, 6), (2, 3), (3, 2), (6, 1), (8, 1)])
def test_credits_take_six_cycles_round(buffer, gap):
    """One place: one flit in each round of 6 cycles; six places: a flit every cycle."""
    flits = 1 + 6 * 4
    (packet,) = carry(network(LINE, vcs=1, buffer=buffer, packet_flits=flits), (0, 1))
    assert packet.delivered == 4 * 2 + 2 + gap * (flits - 1)


@pytest.mark.parametrize(
    ("vcs", "flits", "first", "second"),
    [
        (4, 1, 10, 11),  # an output VC each, the switch one after the other
        (1, 1, 10, 12),  # the VC is free again in the cycle after the tail, then VC and switch allocation
        (1, 4, 13, 18),  # behind a whole packet
        (2, 4, 16, 17),  # flits of two VCs take turns on the link
    ],
)
def test_two_packets_for_one_sink(vcs, flits, first, second):
    packets = carry(network(LINE, vcs=vcs, packet_flits=flits), (0, 1), (2, 1))
    assert sorted(packet.delivered for packet in packets) == [first, second]


def test_round_robin_lets_both_inputs_through_alike():
    net = network(LINE, vcs=1)
    packets = carry(net, *[(0, 1)] * 20, *[(2, 1)] * 20)
    left = [packet.src for packet in sorted(packets, key=lambda packet: packet.delivered)][:20]
    assert left.count(0) == left.count(2) == 10


def test_one_virtual_channel_carries_a_single_flit_packet_every_other_cycle():
    packets = carry(network(LINE, vcs=1), *[(0, 2)] * 10)
    assert [packet.delivered for packet in packets] == [14 + 2 * index for index in range(10)]


def test_virtual_channels_pass_a_blocked_packet():
    """Node 0's second packet goes to a free sink; with one VC it waits behind the first one."""

    def second(vcs: int) -> int:
        packets = carry(network(LINE, vcs=vcs, buffer=1, packet_flits=8), (2, 1), (1, 1), (0, 1), (0, 2))
        return packets[3].delivered

    assert second(4) < second(1)


@settings(max_examples=25, deadline=None)
@given(
    wiring=st.sampled_from([MESH, RING, TORUS, TREE]),
    vcs=st.sampled_from([2, 4]),
    buffer=st.integers(1, 5),
    flits=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_overload_drains_and_leaves_nothing_behind(wiring, vcs, buffer, flits, seed):
    """Every packet arrives, no buffer overflows, and all credits and virtual channels come home."""
    rng = random.Random(seed)
    net = network(wiring, vcs=vcs, buffer=buffer, packet_flits=flits)
    for cycle in range(30):
        for node in range(wiring.nodes):
            net.offer(Packet(node, rng.randrange(wiring.nodes), cycle, flits))
        net.step()
        assert max(map(len, net.queues)) <= buffer
        assert min(net.credits) >= 0
    for _ in range(8000):
        net.step()
    assert len(net.finished) == 30 * wiring.nodes
    assert net.flits_out == 30 * wiring.nodes * flits
    assert net.in_flight == 0
    assert set(net.credits) == {buffer}
    assert set(net.free) == {(1 << vcs // wiring.lanes) - 1}
    for packet in net.finished:
        assert packet.delivered - packet.injected >= 4 * wiring.hops[packet.src][packet.dst] + 2 + flits - 1


def test_a_link_carries_one_flit_a_cycle():
    net = network(LINE, packet_flits=4)
    carry(net, *[(0, 1)] * 25)
    assert net.cycle == 4 * 2 + 2 + 25 * 4  # the loop stops one cycle after the last arrival


def test_a_wrapping_network_needs_an_even_number_of_virtual_channels():
    with pytest.raises(ConfigError, match="vcs: 3; expected a multiple of 2"):
        network(RING, vcs=3)
    network(MESH, vcs=3)


@pytest.mark.parametrize("field", ["vcs", "buffer", "packet_flits"])
def test_counts_start_at_one(field):
    with pytest.raises(BadValue, match=field):
        PacketParams(**{field: 0})
