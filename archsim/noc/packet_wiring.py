"""Tables that the flit-level network runs on: who follows whom, by number, for one topology.

Every router with a site carries one node: a source and a sink. Links are numbered router to router first,
then one injection link for each node, then one ejection link for each node; number i of these parts belongs
to node i. A link is at the same time an output port of the router behind it and an input port of the router
before it, so one number serves both ends, and (link, virtual channel) makes one `slot` for both.

Where a dimension wraps, wormhole routing would deadlock: each link's virtual channels are then split in two
lanes, the lower for packets that have the wrap still ahead of them in this dimension (Dally and Seitz 1987).
`build_wiring` proves freedom from deadlock for any topology: no cycle in the lanes' dependency graph.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import attrs

from archsim.errors import ConfigError, WiringError
from archsim.noc.params import NocParams
from archsim.noc.routing import RouteTable
from archsim.noc.topology import SHAPES

if TYPE_CHECKING:
    import networkx as nx

ROUTER_LATENCY = 3
"""Cycles that the packet router's pipeline takes: VC allocation, switch allocation, switch traversal."""

_End = tuple[str, str]
_Lane = tuple[_End, int]


@attrs.frozen(kw_only=True)
class Wiring:
    """One topology as tables.

    `lanes` is 1, or 2 where a dimension wraps; lane y of link x has number `lanes * x + y`. `onward[link][dst]`
    is the lane that a packet for node `dst`, at the head of a buffer behind `link`, asks for next; empty for
    ejection links. `latency[link]` in cycles, `interval[link]` the cycles that a flit occupies it; `hops[src][dst]`
    counts routers on the route. `grid` is (rows, cols), or None where nodes have no coordinates.
    """

    nodes: int
    router_links: int
    lanes: int
    ends: tuple[_End, ...]
    latency: tuple[int, ...]
    interval: tuple[int, ...]
    onward: tuple[tuple[int, ...], ...]
    hops: tuple[tuple[int, ...], ...]
    grid: tuple[int, int] | None

    def delays(self) -> tuple[list[int], list[int]]:
        """Cycles from switch allocation to the next buffer, and of a credit to whoever sends into the link.

        Sinks take a flit and return its credit at once, so their credits are counted from the same cycle as
        the flit; sources spend no cycle on a credit's processing.
        """
        first_sink = self.router_links + self.nodes
        sources = range(self.router_links, first_sink)
        flight = [latency + 1 + cycles for latency, cycles in zip(self.latency, self.interval, strict=True)]
        back = [latency + (1 if link in sources else 2) for link, latency in enumerate(self.latency)]
        return flight, back


def build_wiring(params: NocParams) -> Wiring:
    """One port at each router with a site; every link takes a flit a cycle.

    Raises ConfigError for latencies that the packet router does not have and WiringError where a node cannot
    reach another or routes can block each other in a circle.
    """
    graph, sites = bare_routers(params)
    return wire(params, graph, [f"{site}.port" for site in sites], sites)


def wire(
    params: NocParams,
    graph: nx.DiGraph[str],
    ports: list[str],
    sites: list[str],
    intervals: dict[str, int] | None = None,
) -> Wiring:
    """Attach `ports` to the routers `sites`, number links and lanes, and follow every route.

    Raises as `build_wiring`. `intervals` gives the cycles that a flit takes on a port's two links, where they are
    not 1; a router link has its own in the graph's edge attribute `interval`.
    """
    _check_latencies(params)
    router_links = list(graph.edges)
    _attach(graph, sites, ports, params.link_latency, intervals or {})
    ends = [*router_links, *zip(ports, sites, strict=True), *zip(sites, ports, strict=True)]
    routes = _routes(graph, ports)
    lanes = 2 if any(_wraps(graph, end) for end in router_links) else 1
    onward = _follow(graph, ends, routes, lanes)
    shape = graph.graph
    return Wiring(
        nodes=len(ports),
        router_links=len(router_links),
        lanes=lanes,
        ends=tuple(ends),
        latency=tuple(graph.edges[end]["latency"] for end in ends),
        interval=tuple(graph.edges[end].get("interval", 1) for end in ends),
        onward=onward,
        hops=tuple(tuple(len(path) - 2 for path in row) for row in routes),
        grid=(shape["rows"], shape["cols"]) if "rows" in shape else None,
    )


def _check_latencies(params: NocParams) -> None:
    if params.router_latency != ROUTER_LATENCY:
        raise ConfigError("noc.router_latency", params.router_latency, f"{ROUTER_LATENCY}, the packet router's own")
    for where, cycles in [
        ("noc.link_latency", params.link_latency),
        *((f"noc.links[{index}].latency", link.latency) for index, link in enumerate(params.links)),
    ]:
        if cycles < 1:
            raise ConfigError(where, cycles, "at least 1 cycle in packet mode")


def bare_routers(params: NocParams) -> tuple[nx.DiGraph[str], list[str]]:
    """The routers with the links between them, and the names of those that carry a node."""
    import networkx as nx  # elaboration only

    graph: nx.DiGraph[str] = nx.DiGraph()
    SHAPES[params.topology](params, graph)
    sites = [name for name, data in graph.nodes(data=True) if data["site"] and data.get("carries") != "router"]
    return graph, sites


def _attach(
    graph: nx.DiGraph[str], sites: list[str], ports: list[str], latency: int, intervals: dict[str, int]
) -> None:
    import networkx as nx

    for site in dict.fromkeys(sites):
        reached = nx.descendants(graph, site)
        missing = [other for other in sites if other != site and other not in reached]
        if missing:
            raise WiringError(f"noc: {site} cannot reach {missing[0]}; expected a path of links")
    for site, port in zip(sites, ports, strict=True):
        if port in graph:
            raise ConfigError("noc", port, "router names that differ from the ports'")
        interval = intervals.get(port, 1)
        graph.add_edge(port, site, latency=latency, interval=interval)
        graph.add_edge(site, port, latency=latency, interval=interval)


def _routes(graph: nx.DiGraph[str], ports: list[str]) -> list[list[tuple[str, ...]]]:
    table = RouteTable(graph)
    for port in ports:
        graph.nodes[port]["latency"] = 0
    return [[table.path(src, dst) for dst in ports] for src in ports]


def _follow(
    graph: nx.DiGraph[str], ends: list[_End], routes: list[list[tuple[str, ...]]], lanes: int
) -> tuple[tuple[int, ...], ...]:
    """The next lane by (link, destination); -1 where no route passes."""
    import networkx as nx

    number = {end: link for link, end in enumerate(ends)}
    onward: list[list[int]] = [[-1] * len(routes) for _ in ends]
    waits: nx.DiGraph[_Lane] = nx.DiGraph()
    for row in routes:
        for dst, path in enumerate(row):
            steps = _lanes_of(graph, path, lanes)
            for here, there in pairwise(steps):
                link, lane = number[here[0]], there[1]
                if there is steps[-1]:
                    lane = link % lanes  # sinks never block, so inputs may share out their lanes
                onward[link][dst] = lanes * number[there[0]] + lane
            waits.add_edges_from(pairwise(steps))
    if not nx.is_directed_acyclic_graph(waits):
        around = " to ".join(nx.find_cycle(waits)[0][0][0])
        raise WiringError(f"noc: routes wait for each other in a circle through {around}; expected none (deadlock)")
    first_sink = len(ends) - len(routes)
    return tuple(tuple(row) if link < first_sink else () for link, row in enumerate(onward))


def _lanes_of(graph: nx.DiGraph[str], path: tuple[str, ...], lanes: int) -> list[_Lane]:
    """The route's links, each with its lane: 0 while the wrap of its dimension is still ahead, else the last."""
    steps: list[_Lane] = []
    ahead, dimension = False, -1
    for end in reversed(list(pairwise(path))):
        here = _dimension(graph, end) if lanes > 1 else -1
        if here != dimension:
            ahead, dimension = False, here
        ahead = ahead or (lanes > 1 and _wraps(graph, end))
        steps.append((end, 0 if ahead else lanes - 1))
    return steps[::-1]


def _dimension(graph: nx.DiGraph[str], end: _End) -> int:
    """0 for a link along a row, 1 along a column, -1 to or from a port."""
    here, there = graph.nodes[end[0]], graph.nodes[end[1]]
    if "row" not in here or "row" not in there:
        return -1
    return int(here["col"] == there["col"])


def _wraps(graph: nx.DiGraph[str], end: _End) -> bool:
    """Whether a link joins the two ends of a row or column; two routers are neighbours, not a circle."""
    here, there = graph.nodes[end[0]], graph.nodes[end[1]]
    if "row" not in here or "row" not in there:
        return False
    return bool(abs(here["col"] - there["col"]) > 1 or abs(here["row"] - there["row"]) > 1)
