"""A machine's network for the flit-level mode: its cores' and memory channels' ports at their own routers.

A flit is as wide as the widest link between routers, or as a memory port where there is only one router. A port
or link narrower than that takes several cycles for each flit; a wider port is several nodes side by side, among
which the sender deals out its packets.
"""

from __future__ import annotations

import attrs

from archsim.noc.packet_wiring import Wiring, bare_routers, wire
from archsim.noc.params import NocParams
from archsim.noc.topology import build_topology


@attrs.frozen(kw_only=True)
class MachineWiring:
    """The tables of the network, its flit in bytes, and the nodes that stand for each core's and channel's port."""

    wiring: Wiring
    flit_bytes: int
    cores: tuple[range, ...]
    channels: tuple[range, ...]


def machine_wiring(params: NocParams, cores: int, channels: int) -> MachineWiring:
    """Place the ports as the bulk network does; raises ConfigError and WiringError as both networks do."""
    core_ports = [f"core{core}.port" for core in range(cores)]
    memory_ports = [f"hbm.ch{channel}" for channel in range(channels)]
    placed = build_topology(params, core_ports, memory_ports)
    graph, _ = bare_routers(params)
    widths: list[int] = [edge["width"] for _, _, edge in graph.edges(data=True)]
    flit = max(widths, default=params.memory_port_bytes_per_cycle)
    for _, _, edge in graph.edges(data=True):
        edge["interval"] = -(-flit // edge["width"])
    nodes: list[range] = []
    ports: list[str] = []
    sites: list[str] = []
    intervals: dict[str, int] = {}
    for port in (*core_ports, *memory_ports):
        site = next(placed.successors(port))
        width: int = placed.edges[port, site]["width"]
        nodes.append(range(len(ports), len(ports) + max(1, width // flit)))
        for node in nodes[-1]:
            ports.append(f"{port}.{node}")
            sites.append(site)
            intervals[ports[-1]] = -(-flit // width)
    return MachineWiring(
        wiring=wire(params, graph, ports, sites, intervals),
        flit_bytes=flit,
        cores=tuple(nodes[:cores]),
        channels=tuple(nodes[cores:]),
    )
