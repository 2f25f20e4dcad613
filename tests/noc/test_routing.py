"""Routes: golden paths per rule, and the tree property that plans rely on."""

from __future__ import annotations

from itertools import pairwise, product

import pytest

from archsim.noc import CustomLink, CustomNode, NocParams, build_topology
from archsim.noc.routing import RouteTable


def table(params: NocParams, channels: int = 16) -> RouteTable:
    """Core port "c{i}" and memory port "m{i}" on the i-th site."""
    return RouteTable(build_topology(params, [f"c{i}" for i in range(channels)], [f"m{i}" for i in range(channels)]))


def hops(routes: RouteTable, src: int, dst: int) -> list[int]:
    return [int(name.removeprefix("noc.r")) for name in routes.path(f"m{src}", f"c{dst}")[1:-1]]


def link(a: str, b: str, latency: int = 1) -> CustomLink:
    return CustomLink(a=a, b=b, width=16, latency=latency)


def custom(*links: CustomLink) -> NocParams:
    nodes = tuple(
        CustomNode(name=n, role=r) for n, r in zip("abcd", ("core", "router", "router", "memory"), strict=True)
    )
    return NocParams(topology="custom", nodes=nodes, links=links)


MESH = NocParams(topology="mesh", rows=4, cols=4)
TORUS = NocParams(topology="torus", rows=4, cols=5)
RING = NocParams(topology="ring", cols=6)
TREE = NocParams(topology="tree", cols=8, arity=2)
DIAMOND = custom(link("a", "b"), link("a", "c"), link("b", "d"), link("c", "d"))


@pytest.mark.parametrize(
    ("src", "dst", "path"),
    [
        (0, 15, [0, 1, 2, 3, 7, 11, 15]),
        (15, 0, [15, 14, 13, 12, 8, 4, 0]),
        (12, 3, [12, 13, 14, 15, 11, 7, 3]),
        (5, 6, [5, 6]),
        (6, 6, [6]),
    ],
)
def test_mesh_goes_along_the_row_first(src: int, dst: int, path: list[int]) -> None:
    assert hops(table(MESH), src, dst) == path


@pytest.mark.parametrize(
    ("src", "dst", "path"),
    [
        (0, 4, [0, 4]),  # one column back beats four forward
        (0, 2, [0, 1, 2]),
        (0, 3, [0, 4, 3]),
        (0, 15, [0, 15]),
        (0, 10, [0, 5, 10]),  # two rows either way: positive
        (10, 0, [10, 15, 0]),
    ],
)
def test_torus_takes_the_short_way_round(src: int, dst: int, path: list[int]) -> None:
    assert hops(table(TORUS, 20), src, dst) == path


def test_ring_is_symmetric_and_breaks_ties_forward() -> None:
    routes = table(RING, 6)
    assert hops(routes, 0, 3) == [0, 1, 2, 3]
    assert hops(routes, 3, 0) == [3, 4, 5, 0]
    for src, dst in product(range(6), repeat=2):
        distance = (dst - src) % 6
        assert len(hops(routes, src, dst)) == min(distance, 6 - distance) + 1
        assert len(hops(routes, src, dst)) == len(hops(routes, dst, src))


@pytest.mark.parametrize(
    ("src", "dst", "path"),
    [(2, 2, [2]), (0, 1, [0, 8, 1]), (1, 2, [1, 8, 12, 9, 2]), (0, 7, [0, 8, 12, 14, 13, 11, 7])],
)
def test_tree_goes_up_then_down(src: int, dst: int, path: list[int]) -> None:
    assert hops(table(TREE, 8), src, dst) == path


def test_tree_reaches_ports_on_inner_routers() -> None:
    params = NocParams(topology="tree", cols=4, arity=2, core_nodes=(3,), memory_nodes=(6,))
    routes = RouteTable(build_topology(params, ["c"], ["m"]))
    assert routes.path("m", "c") == ("m", "noc.r6", "noc.r5", "noc.r3", "c")
    assert routes.path("c", "m") == ("c", "noc.r3", "noc.r5", "noc.r6", "m")


def test_custom_breaks_ties_by_name() -> None:
    routes = RouteTable(build_topology(DIAMOND, ["p"], ["q"]))
    assert routes.path("p", "q") == ("p", "a", "b", "d", "q")
    assert routes.path("q", "p") == ("q", "d", "b", "a", "p")


def test_custom_prefers_latency_then_few_links() -> None:
    slow_b = custom(link("a", "b", 2), link("a", "c"), link("b", "d"), link("c", "d"))
    assert RouteTable(build_topology(slow_b, ["p"], ["q"])).path("p", "q") == ("p", "a", "c", "d", "q")
    direct = custom(link("a", "b", 1), link("b", "c", 0), link("c", "d", 1), link("a", "d", 8))
    assert RouteTable(build_topology(direct, ["p"], ["q"])).path("p", "q") == ("p", "a", "d", "q")


GRAPHS = {
    "mesh": (MESH, 16),
    "torus": (TORUS, 20),
    "even torus": (NocParams(topology="torus", rows=4, cols=4), 16),
    "ring": (RING, 6),
    "tree": (TREE, 8),
    "custom": (custom(link("a", "b"), link("a", "c"), link("b", "d"), link("c", "d"), link("b", "c")), 3),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_routes_with_a_common_end_form_a_tree(name: str) -> None:
    params, ports = GRAPHS[name]
    routes = table(params, ports)
    graph = routes.graph
    for fixed in range(ports):
        onward: dict[str, str] = {}
        before: dict[str, str] = {}
        for other in range(ports):
            for here, there in pairwise(routes.path(f"m{other}", f"c{fixed}")):
                assert graph.has_edge(here, there)
                assert onward.setdefault(here, there) == there
            for here, there in pairwise(routes.path(f"c{fixed}", f"m{other}")):
                assert before.setdefault(there, here) == here
