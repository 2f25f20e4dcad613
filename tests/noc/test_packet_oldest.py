"""Oldest-first arbitration, and what is left between the bulk network and a flit-level one that has it."""

from __future__ import annotations

import random

import attrs
import pytest

from archsim.micro.noc_bulk import UNHINDERED, compare
from archsim.micro.noc_reads import synthetic_reads
from archsim.noc.packet import Packet
from archsim.noc.packet_machine import machine_wiring
from archsim.noc.packet_oldest import OldestFirst, packet_network
from archsim.noc.packet_params import PacketParams
from archsim.noc.packet_wiring import build_wiring
from archsim.noc.params import NocParams
from archsim.validate import BadValue
from workloads.validation import noc as validate_noc

LINE = build_wiring(NocParams(topology="mesh", rows=1, cols=3))
SHAPES = {
    "mesh": build_wiring(NocParams(topology="mesh", rows=3, cols=3)),
    "torus": build_wiring(NocParams(topology="torus", rows=3, cols=4)),
}


def test_arbitration_chooses_the_network() -> None:
    assert type(packet_network(LINE, PacketParams(arbitration="oldest"))) is OldestFirst
    assert not isinstance(packet_network(LINE, PacketParams()), OldestFirst)
    with pytest.raises(BadValue, match="arbitration"):
        PacketParams(arbitration="lottery")


def last_arrivals(arbitration: str) -> list[int]:
    """When the last of 40 packets from a line's far node is at its end, and of 40 younger ones from the near node."""
    network = packet_network(LINE, PacketParams(arbitration=arbitration))
    packets = []
    for src in (0, 1):
        network.cycle += src * 3
        packets += [Packet(src, 2, network.cycle, 1) for _ in range(40)]
        for packet in packets[-40:]:
            network.offer(packet)
    while len(network.finished) < len(packets):
        network.step()
    return [max(packet.delivered for packet in packets if packet.src == src) for src in (0, 1)]


def test_the_older_packets_pass_first() -> None:
    """Round robin lets both sources take turns, so that both end when the link has carried all 80."""
    far, near = last_arrivals("round-robin")
    assert abs(far - near) < 10
    far, near = last_arrivals("oldest")
    assert near - far > 20


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("flits", [1, 2])
def test_every_packet_arrives_once_and_an_idle_network_is_as_fast(shape: str, flits: int) -> None:
    wiring, rng = SHAPES[shape], random.Random(flits)
    network = packet_network(wiring, PacketParams(vcs=2, buffer=2, packet_flits=flits, arbitration="oldest"))
    packets = [Packet(rng.randrange(wiring.nodes), rng.randrange(wiring.nodes), 0, flits) for _ in range(200)]
    for packet in packets:
        network.offer(packet)
    for _ in range(5000):
        network.step()
    assert len(set(network.finished)) == len(network.finished) == len(packets)
    assert network.flits_out == flits * len(packets)
    assert network.in_flight == 0
    alone = Packet(0, wiring.nodes - 1, network.cycle, flits)
    network.offer(alone)
    while alone.delivered < 0:
        network.step()
    assert alone.delivered - alone.created == 4 * wiring.hops[0][-1] + 2 + flits - 1


@pytest.mark.parametrize("name", ["ring", "torus"])
def test_round_robin_and_full_buffers_are_what_the_bulk_network_lacks(name: str) -> None:
    """Without them a flit-level network takes as long on 24 reads of all cores; with them it takes longer."""
    params = validate_noc.machine(name)
    params = attrs.evolve(params, noc=attrs.evolve(params.noc, queued_percent=100))
    reads = synthetic_reads(params, machine_wiring(params.noc, params.cores, params.memory.build().channel_count))
    (free,) = compare(reads, params, [range(24)], UNHINDERED)
    (usual,) = compare(reads, params, [range(24)])
    assert free.bulk_span_ps == pytest.approx(free.packet_span_ps, rel=0.03)
    assert usual.packet_span_ps > 1.08 * usual.bulk_span_ps
