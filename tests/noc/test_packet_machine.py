"""The flit-level network with a machine's own ports."""

from __future__ import annotations

import pytest

from archsim.noc import NocParams
from archsim.noc.packet import Packet, PacketNetwork
from archsim.noc.packet_machine import machine_wiring
from archsim.noc.packet_params import PacketParams

CROSSBAR = NocParams(core_port_bytes_per_cycle=64, memory_port_bytes_per_cycle=32)
MESH = NocParams(
    topology="mesh",
    rows=1,
    cols=3,
    core_nodes=(0,),
    memory_nodes=(2,),
    link_bytes_per_cycle=128,
    core_port_bytes_per_cycle=256,
    memory_port_bytes_per_cycle=32,
)


def last_arrival(noc: NocParams, to_core: bool, packets: int, flits: int = 1) -> int:
    """Cycle in which the last of some packets arrives, dealt out among the nodes of the core's port."""
    wiring = machine_wiring(noc, 1, 2)
    network = PacketNetwork(wiring.wiring, PacketParams())
    core, channel = wiring.cores[0], wiring.channels[0]
    sent = [
        Packet(*((channel[0], core[i % len(core)]) if to_core else (core[i % len(core)], channel[0])), 0, flits)
        for i in range(packets)
    ]
    for packet in sent:
        network.offer(packet)
    while len(network.finished) < packets:
        network.step()
    return max(packet.delivered for packet in sent)


def test_wide_ports_are_several_nodes_and_a_flit_is_as_wide_as_a_link() -> None:
    crossbar, mesh = machine_wiring(CROSSBAR, 1, 2), machine_wiring(MESH, 1, 2)
    assert (crossbar.flit_bytes, crossbar.cores, crossbar.channels) == (32, (range(2),), (range(2, 3), range(3, 4)))
    assert (mesh.flit_bytes, mesh.cores) == (128, (range(2),))
    assert sorted(set(mesh.wiring.interval)) == [1, 4]
    assert set(crossbar.wiring.interval) == {1}


@pytest.mark.parametrize("to_core", [True, False])
def test_a_narrow_port_takes_several_cycles_for_each_flit(to_core: bool) -> None:
    """A quarter of a flit a cycle: the 21st packet comes 80 cycles after the first."""
    assert last_arrival(MESH, to_core, 21) - last_arrival(MESH, to_core, 1) == 80


def test_packets_have_lengths_of_their_own() -> None:
    assert last_arrival(CROSSBAR, True, 1, flits=5) - last_arrival(CROSSBAR, True, 1) == 4
