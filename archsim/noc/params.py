"""What a user may say about the on-chip network: the `[noc]` section of a machine file."""

from __future__ import annotations

from typing import Any

import attrs

from archsim.validate import BadValue, at_least, one_of, positive, within

TOPOLOGY_NAMES = ("crossbar", "ring", "mesh", "torus", "tree", "custom")
PLACEMENTS = ("spread", "rim", "edge")
ROLES = ("router", "core", "memory")


def _indices(instance: Any, attribute: attrs.Attribute[Any], value: tuple[Any, ...]) -> None:
    for index in value:
        at_least(0)(instance, attribute, index)


@attrs.frozen(kw_only=True)
class CustomNode:
    """A router of a custom network; `role` says what hangs on it besides links.

    "core" routers carry the cores and "memory" routers the memory ports, dealt out in table order.
    """

    name: str
    role: str = attrs.field(default="router", validator=one_of(*ROLES))


@attrs.frozen(kw_only=True)
class CustomLink:
    """A link of a custom network: `width` in bytes/cycle, `latency` in cycles, both ways unless said."""

    a: str
    b: str
    width: int = attrs.field(validator=positive)
    latency: int = attrs.field(validator=at_least(0))
    both_ways: bool = True


@attrs.frozen(kw_only=True)
class NocParams:
    """Shape, widths (bytes/cycle) and latencies (cycles) of the network.

    `rows` x `cols` counts the routers of a mesh, torus or ring and the leaves of a tree; `arity` is the
    tree's fan-out. Attachment links (port to router) have the port's width and `link_latency`.

    Placement: memory ports go round-robin over all sites ("spread"), the border of a grid ("rim"), its
    first and last column ("edge"), or the routers listed in `memory_nodes`. Core i sits on router
    `core_nodes[i]`; without that list cores are spaced over the sites that carry no memory, or over all.

    `queued_percent` is what a link between routers carries of its width while transfers of several cores queue for
    it: flits that wait for one output keep others from free ones. `archsim micro noc --reads MACHINE` measures
    it flit by flit, 4 virtual channels of 8 flits, on synthetic reads of all cores; the default is what it finds for
    `quad-mesh`.

    Defaults are those of `dart-2048`. Router latency 3 and link latency 1 are the pipeline of the public
    BookSim2 anchor (VC allocation, switch allocation, switch traversal, link); widths are engineering choices.

    `source` notes where a figure comes from, by field. Raises BadValue for what no network can have; the
    loader of machine files makes a ConfigError of it.
    """

    topology: str = attrs.field(default="crossbar", validator=one_of(*TOPOLOGY_NAMES))
    rows: int = attrs.field(default=1, validator=positive)
    cols: int = attrs.field(default=1, validator=positive)
    arity: int = attrs.field(default=4, validator=at_least(2))
    link_bytes_per_cycle: int = attrs.field(default=128, validator=positive)
    queued_percent: int = attrs.field(default=63, validator=within(1, 100))
    core_port_bytes_per_cycle: int = attrs.field(default=1024, validator=positive)
    memory_port_bytes_per_cycle: int = attrs.field(default=32, validator=positive)
    router_latency: int = attrs.field(default=3, validator=at_least(0))
    link_latency: int = attrs.field(default=1, validator=at_least(0))
    memory_placement: str = attrs.field(default="spread", validator=one_of(*PLACEMENTS))
    core_nodes: tuple[int, ...] = attrs.field(default=(), validator=_indices)
    memory_nodes: tuple[int, ...] = attrs.field(default=(), validator=_indices)
    nodes: tuple[CustomNode, ...] = ()
    links: tuple[CustomLink, ...] = ()
    source: dict[str, str] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        """Refuse tables that do not belong to the topology, and placements that mean nothing on it."""
        if self.topology == "custom":
            self._check_custom()
        elif self.nodes or self.links:
            where = "nodes" if self.nodes else "links"
            raise BadValue(where, f"{len(self.nodes or self.links)} rows", 'none unless topology = "custom"')
        if self.memory_placement != "spread" and self.topology not in ("mesh", "torus"):
            raise BadValue("memory_placement", self.memory_placement, f'"spread" on a {self.topology} network')

    def _check_custom(self) -> None:
        names = [node.name for node in self.nodes]
        for index, name in enumerate(names):
            if not name or name in names[:index]:
                raise BadValue(f"nodes[{index}].name", name, "a name that no other node has")
        for role in ("core", "memory"):
            if all(node.role != role for node in self.nodes):
                raise BadValue("nodes", ", ".join(names), f'at least one node with role = "{role}"')
        if self.core_nodes or self.memory_nodes:
            where = "core_nodes" if self.core_nodes else "memory_nodes"
            raise BadValue(where, self.core_nodes or self.memory_nodes, "none: a custom network places by role")
        self._check_custom_links(names)

    def _check_custom_links(self, names: list[str]) -> None:
        seen: set[tuple[str, str]] = set()
        for index, link in enumerate(self.links):
            where = f"links[{index}]"
            for name in (link.a, link.b):
                if name not in names:
                    raise BadValue(where, name, "one of " + ", ".join(names))
            if link.a == link.b:
                raise BadValue(where, f"{link.a} to itself", "a link between two nodes")
            ways = [(link.a, link.b), (link.b, link.a)][: 2 if link.both_ways else 1]
            for way in ways:
                if way in seen:
                    raise BadValue(where, " to ".join(way), "one link for each pair and direction")
            seen.update(ways)
