"""Graphs: router and link counts in closed form, placement, and reachability."""

from __future__ import annotations

import subprocess
import sys

import pytest

from archsim.errors import ConfigError, WiringError
from archsim.noc import CustomLink, CustomNode, NocParams, build_topology

QUAD = NocParams(topology="mesh", rows=4, cols=4, memory_placement="rim")


def ports(kind: str, count: int) -> list[str]:
    return [f"{kind}{index}" for index in range(count)]


def site(graph: object, port: str) -> str:
    return next(iter(graph.successors(port)))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("params", "routers", "links"),
    [
        (NocParams(), 1, 0),
        (NocParams(topology="ring", cols=6), 6, 12),
        (NocParams(topology="ring", cols=2), 2, 2),
        (NocParams(topology="mesh", rows=3, cols=4), 12, 2 * (3 * 3 + 2 * 4)),
        (NocParams(topology="torus", rows=3, cols=4), 12, 4 * 12),
        (NocParams(topology="torus", rows=1, cols=4), 4, 8),
        (NocParams(topology="tree", cols=8, arity=2), 15, 28),
        (NocParams(topology="tree", cols=9, arity=4), 9 + 3 + 1, 24),
    ],
)
def test_router_and_link_counts(params: NocParams, routers: int, links: int) -> None:
    graph = build_topology(params, ports("c", 2), ports("m", 3))
    assert sum(data["role"] == "router" for _, data in graph.nodes(data=True)) == routers
    assert graph.number_of_edges() == links + 2 * (2 + 3)
    assert {data["kind"] for *_, data in graph.edges(data=True)} == {"link"}


def test_edges_carry_width_and_latency_and_nodes_their_role() -> None:
    graph = build_topology(NocParams(topology="mesh", rows=1, cols=2, link_latency=2), ["c"], ["m0", "m1"])
    assert graph.edges["noc.r0", "noc.r1"] == {"kind": "link", "width": 128, "latency": 2}
    assert graph.edges["c", "noc.r0"]["width"] == graph.edges["noc.r0", "c"]["width"] == 1024
    assert graph.edges["m1", "noc.r1"]["width"] == 32
    assert [graph.nodes[name]["role"] for name in ("c", "m0", "noc.r1")] == ["core", "memory", "router"]
    assert [graph.nodes[name]["latency"] for name in ("c", "noc.r1")] == [0, 3]


def test_quad_mesh_puts_memory_on_the_rim_and_cores_inside() -> None:
    graph = build_topology(QUAD, ports("c", 4), ports("m", 64))
    rim = [0, 1, 2, 3, 4, 7, 8, 11, 12, 13, 14, 15]
    assert [site(graph, f"m{channel}") for channel in range(64)] == [f"noc.r{rim[c % 12]}" for c in range(64)]
    assert [site(graph, f"c{core}") for core in range(4)] == ["noc.r5", "noc.r6", "noc.r9", "noc.r10"]


def test_edge_placement_uses_the_outer_columns() -> None:
    params = NocParams(topology="mesh", rows=2, cols=4, memory_placement="edge")
    graph = build_topology(params, ports("c", 2), ports("m", 5))
    assert [site(graph, port) for port in ports("m", 5)] == [f"noc.r{r}" for r in (0, 3, 4, 7, 0)]
    assert [site(graph, port) for port in ports("c", 2)] == ["noc.r1", "noc.r5"]


def test_explicit_nodes_win() -> None:
    params = NocParams(topology="tree", cols=4, arity=2, core_nodes=(3,), memory_nodes=(6,))
    graph = build_topology(params, ["c"], ports("m", 2))
    assert [site(graph, port) for port in ("c", "m0", "m1")] == ["noc.r3", "noc.r6", "noc.r6"]


def test_placements_off_the_network_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^noc.memory_nodes: 9; expected a router index below 4$"):
        build_topology(NocParams(topology="ring", cols=4, memory_nodes=(9,)), ["c"], ["m"])
    with pytest.raises(ConfigError, match=r"^noc.core_nodes: \(0, 1\); expected one router for each of 1 cores$"):
        build_topology(NocParams(topology="ring", cols=4, core_nodes=(0, 1)), ["c"], ["m"])
    with pytest.raises(ConfigError, match=r"^noc: 'c'; expected port and router names that differ"):
        build_topology(NocParams(), ["c"], ["c"])


def one_way(a: str, b: str) -> CustomLink:
    return CustomLink(a=a, b=b, width=8, latency=1, both_ways=False)


@pytest.mark.parametrize(
    ("links", "text"),
    [
        ((one_way("y", "x"),), "noc: core0.port cannot reach hbm.ch0; expected a path of links"),
        ((one_way("x", "y"),), "noc: hbm.ch0 cannot reach core0.port; expected a path of links"),
    ],
)
def test_unreachable_nodes_are_both_named(links: tuple[CustomLink, ...], text: str) -> None:
    nodes = (CustomNode(name="x", role="core"), CustomNode(name="y", role="memory"))
    params = NocParams(topology="custom", nodes=nodes, links=links)
    with pytest.raises(WiringError) as caught:
        build_topology(params, ["core0.port"], ["hbm.ch0"])
    assert text in str(caught.value)


def test_unreachable_core_is_named() -> None:
    nodes = tuple(CustomNode(name=n, role=r) for n, r in (("x", "core"), ("y", "core"), ("z", "memory")))
    links = (one_way("x", "z"), one_way("z", "x"), one_way("y", "z"))
    params = NocParams(topology="custom", nodes=nodes, links=links)
    with pytest.raises(WiringError, match=r"^noc: core0.port cannot reach core1.port;"):
        build_topology(params, ["core0.port", "core1.port"], ["hbm.ch0"])


def test_networkx_is_not_imported_before_elaboration() -> None:
    code = "import sys, archsim.noc; sys.exit('networkx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
