from __future__ import annotations

import pytest

from archsim.errors import ConfigError, WiringError
from archsim.noc.packet_wiring import build_wiring
from archsim.noc.params import CustomLink, CustomNode, NocParams


def custom(*links: CustomLink, roles: str = "cmcm") -> NocParams:
    names = {"c": "core", "m": "memory", "r": "router"}
    nodes = tuple(CustomNode(name=f"n{index}", role=names[role]) for index, role in enumerate(roles))
    return NocParams(topology="custom", nodes=nodes, links=links)


def link(a: int, b: int, **more: bool) -> CustomLink:
    return CustomLink(a=f"n{a}", b=f"n{b}", width=1, latency=1, **more)


def test_parts_are_numbered_links_then_sources_then_sinks():
    wiring = build_wiring(NocParams(topology="mesh", rows=2, cols=3))
    assert (wiring.nodes, wiring.router_links, wiring.lanes, wiring.grid) == (6, 14, 1, (2, 3))
    assert wiring.ends[14] == ("noc.r0.port", "noc.r0")
    assert wiring.ends[20] == ("noc.r0", "noc.r0.port")
    assert len(wiring.ends) == 26


def test_following_the_tables_reaches_every_destination_along_the_row_first():
    wiring = build_wiring(NocParams(topology="mesh", rows=3, cols=4))
    for src in range(12):
        for dst in range(12):
            here, routers = wiring.router_links + src, []
            while wiring.onward[here]:
                routers.append(wiring.ends[here][1])
                here = wiring.onward[here][dst]
            assert wiring.ends[here][1] == f"noc.r{dst}.port"
            assert len(routers) == wiring.hops[src][dst]
            assert f"noc.r{src // 4 * 4 + dst % 4}" in routers


@pytest.mark.parametrize(
    ("params", "lanes"),
    [
        (NocParams(topology="ring", cols=4), 2),
        (NocParams(topology="ring", cols=2), 1),
        (NocParams(topology="torus", rows=3, cols=3), 2),
        (NocParams(topology="mesh", rows=3, cols=3), 1),
        (NocParams(topology="crossbar"), 1),
    ],
)
def test_only_wraps_split_the_virtual_channels(params, lanes):
    assert build_wiring(params).lanes == lanes


def test_packets_change_lane_on_the_wrap():
    wiring = build_wiring(NocParams(topology="ring", cols=5))
    route, here = [], wiring.router_links + 4  # from node 4 over the wrap to node 1
    for _ in range(2):
        lane = wiring.onward[here][1]
        here = lane // 2
        route.append((wiring.ends[here], lane % 2))
    assert route == [(("noc.r4", "noc.r0"), 0), (("noc.r0", "noc.r1"), 1)]


def test_a_custom_circle_of_routes_is_refused():
    """One-way circle: every route goes round, and each link's packets wait for the next link."""
    circle = custom(*(link(index, (index + 1) % 4, both_ways=False) for index in range(4)))
    with pytest.raises(WiringError, match="in a circle"):
        build_wiring(circle)


def test_routers_without_a_role_carry_no_node():
    wiring = build_wiring(custom(link(0, 1), link(1, 2), roles="crm"))
    assert wiring.nodes == 2
    assert wiring.hops == ((1, 3), (3, 1))
    assert wiring.grid is None


def test_leaves_of_a_tree_carry_the_nodes():
    assert build_wiring(NocParams(topology="tree", cols=4, arity=2)).nodes == 4


def test_unreachable_nodes_are_refused():
    with pytest.raises(WiringError, match="n1 cannot reach n0"):
        build_wiring(custom(link(0, 1, both_ways=False), roles="cm"))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (NocParams(topology="mesh", router_latency=2), "noc.router_latency: 2; expected 3"),
        (NocParams(topology="mesh", link_latency=0), "noc.link_latency: 0"),
        (
            NocParams(
                topology="custom",
                nodes=(CustomNode(name="a", role="core"), CustomNode(name="b", role="memory")),
                links=(CustomLink(a="a", b="b", width=1, latency=0),),
            ),
            r"noc.links\[0\].latency: 0",
        ),
    ],
)
def test_latencies_of_another_router_are_refused(params, message):
    with pytest.raises(ConfigError, match=message):
        build_wiring(params)


def test_names_that_clash_with_ports_are_refused():
    params = NocParams(
        topology="custom",
        nodes=(CustomNode(name="a", role="core"), CustomNode(name="a.port", role="memory")),
        links=(CustomLink(a="a", b="a.port", width=1, latency=1),),
    )
    with pytest.raises(ConfigError, match=r"a\.port"):
        build_wiring(params)
