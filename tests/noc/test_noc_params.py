"""What a network may not be, and how the error says it."""

from __future__ import annotations

from typing import Any

import pytest

from archsim.errors import ConfigError
from archsim.noc import CustomLink, CustomNode, NocParams
from archsim.tree import load_tree
from archsim.validate import BadValue

CORE, MEMORY = CustomNode(name="a", role="core"), CustomNode(name="b", role="memory")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"topology": "hypercube"}, "topology: 'hypercube'; expected one of 'crossbar', 'ring', 'mesh'"),
        ({"rows": 0}, "rows: 0; expected a whole number above 0"),
        ({"cols": True}, "cols: True; expected a whole number"),
        ({"arity": 1}, "arity: 1; expected a whole number, at least 2"),
        ({"link_bytes_per_cycle": 0}, "link_bytes_per_cycle: 0;"),
        ({"router_latency": -1}, "router_latency: -1;"),
        ({"memory_placement": "middle"}, "memory_placement: 'middle'; expected one of 'spread', 'rim', 'edge'"),
        ({"topology": "ring", "memory_placement": "rim"}, "'rim'; expected \"spread\" on a ring network"),
        ({"core_nodes": (-1,)}, "core_nodes: -1; expected a whole number, at least 0"),
        ({"nodes": (CORE,)}, "nodes: '1 rows'; expected none unless topology = \"custom\""),
    ],
)
def test_impossible_values_are_refused(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(BadValue) as caught:
        NocParams(**fields)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("nodes", "links", "text"),
    [
        ((CORE, MEMORY, CORE), (), "nodes[2].name: 'a'; expected a name that no other node has"),
        ((CORE,), (), "nodes: 'a'; expected at least one node with role = \"memory\""),
        ((CORE, MEMORY), (("a", "c"),), "links[0]: 'c'; expected one of a, b"),
        ((CORE, MEMORY), (("a", "a"),), "links[0]: 'a to itself'; expected a link between two nodes"),
        ((CORE, MEMORY), (("a", "b"), ("b", "a")), "links[1]: 'b to a'; expected one link for each pair"),
    ],
)
def test_custom_tables_are_checked(
    nodes: tuple[CustomNode, ...], links: tuple[tuple[str, str], ...], text: str
) -> None:
    table = tuple(CustomLink(a=a, b=b, width=8, latency=1) for a, b in links)
    with pytest.raises(BadValue) as caught:
        NocParams(topology="custom", nodes=nodes, links=table)
    assert text in str(caught.value)


def test_unknown_role_and_width_name_their_table() -> None:
    with pytest.raises(BadValue, match=r"^role: 'gpu'; expected one of 'router', 'core', 'memory'$"):
        CustomNode(name="x", role="gpu")
    with pytest.raises(BadValue, match=r"^width: 0; expected a whole number above 0$"):
        CustomLink(a="a", b="b", width=0, latency=1)


def test_custom_network_places_by_role() -> None:
    with pytest.raises(BadValue, match=r"^memory_nodes: "):
        NocParams(topology="custom", nodes=(CORE, MEMORY), memory_nodes=(1,))


def test_loader_names_the_row_of_the_table() -> None:
    nodes = [{"name": "a", "role": "core"}, {"name": "b", "role": "memory"}]
    table = {"topology": "custom", "nodes": nodes, "links": [{"a": "a", "b": "b", "width": 0, "latency": 1}]}
    with pytest.raises(ConfigError) as caught:
        load_tree(NocParams, table, "machine.toml")
    assert str(caught.value) == "machine.toml: links[0].width: 0; expected a whole number above 0"
