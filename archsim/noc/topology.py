"""The network as a graph: routers, attachment points and directed links with width and latency.

Node attributes: `role` ("router", "core", "memory") and `latency` (cycles to cross; 0 at attachment points);
edge attributes: `kind` = "link", `width` (bytes/cycle), `latency` (cycles). Graph attribute `routing` names
the rule in `archsim.noc.routing`. A new topology is one function and one row of `SHAPES`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from archsim.errors import ConfigError, WiringError
from archsim.noc.params import CustomLink, CustomNode, NocParams

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["CustomLink", "CustomNode", "NocParams", "build_topology", "router_name"]


def router_name(index: int) -> str:
    """Name of a router: "noc.r5"; grids number row by row, trees leaves first and the root last."""
    return f"noc.r{index}"


def build_topology(params: NocParams, core_ports: Sequence[str], memory_ports: Sequence[str]) -> nx.DiGraph[str]:
    """The network's graph with the given attachment points, one link each way between port and router.

    Raises ConfigError for port names that clash or placements off the network, WiringError where a core
    cannot reach a memory port or another core, or a memory port cannot reach a core.
    """
    import networkx as nx  # heavy, and needed only at elaboration

    graph: nx.DiGraph[str] = nx.DiGraph()
    SHAPES[params.topology](params, graph)
    memory_sites = _memory_sites(params, graph)
    core_sites = _core_sites(params, graph, memory_sites, len(core_ports))
    _attach(graph, core_ports, core_sites, "core", params.core_port_bytes_per_cycle, params.link_latency)
    _attach(graph, memory_ports, memory_sites, "memory", params.memory_port_bytes_per_cycle, params.link_latency)
    _check_reachable(graph, core_ports, memory_ports)
    return graph


def _add_router(graph: nx.DiGraph[str], name: str, params: NocParams, site: bool = True, **place: int | str) -> None:
    graph.add_node(name, role="router", latency=params.router_latency, site=site, **place)


def _add_link(graph: nx.DiGraph[str], a: str, b: str, width: int, latency: int) -> None:
    graph.add_edge(a, b, kind="link", width=width, latency=latency)


def _join(graph: nx.DiGraph[str], a: str, b: str, params: NocParams) -> None:
    """A pair of links, one each way; a wrap onto itself or onto an existing pair adds nothing."""
    if a != b:
        for src, dst in ((a, b), (b, a)):
            _add_link(graph, src, dst, params.link_bytes_per_cycle, params.link_latency)


def _grid(params: NocParams, graph: nx.DiGraph[str], rows: int, cols: int, wrap: bool) -> None:
    graph.graph.update(routing="dimension-order", rows=rows, cols=cols, wrap=wrap)
    for index in range(rows * cols):
        _add_router(graph, router_name(index), params, row=index // cols, col=index % cols)
    for row in range(rows):
        for col in range(cols):
            here = router_name(row * cols + col)
            if wrap or col + 1 < cols:
                _join(graph, here, router_name(row * cols + (col + 1) % cols), params)
            if wrap or row + 1 < rows:
                _join(graph, here, router_name((row + 1) % rows * cols + col), params)


def _crossbar(params: NocParams, graph: nx.DiGraph[str]) -> None:
    """One router without inner conflicts: only its ports' attachment links are contended."""
    _grid(params, graph, 1, 1, wrap=False)


def _ring(params: NocParams, graph: nx.DiGraph[str]) -> None:
    _grid(params, graph, 1, params.rows * params.cols, wrap=True)


def _mesh(params: NocParams, graph: nx.DiGraph[str]) -> None:
    _grid(params, graph, params.rows, params.cols, wrap=False)


def _torus(params: NocParams, graph: nx.DiGraph[str]) -> None:
    _grid(params, graph, params.rows, params.cols, wrap=True)


def _tree(params: NocParams, graph: nx.DiGraph[str]) -> None:
    """`rows` x `cols` leaves, then levels of one parent for each `arity` children, up to one root."""
    graph.graph["routing"] = "up-down"
    level = [router_name(index) for index in range(params.rows * params.cols)]
    for name in level:
        _add_router(graph, name, params)
    while len(level) > 1:
        parents: list[str] = []
        for first in range(0, len(level), params.arity):
            parent = router_name(graph.number_of_nodes())
            _add_router(graph, parent, params, site=False)
            parents.append(parent)
            for child in level[first : first + params.arity]:
                graph.nodes[child]["parent"] = parent
                _join(graph, child, parent, params)
        level = parents


def _custom(params: NocParams, graph: nx.DiGraph[str]) -> None:
    graph.graph["routing"] = "shortest"
    for node in params.nodes:
        _add_router(graph, node.name, params, carries=node.role)
    for link in params.links:
        _add_link(graph, link.a, link.b, link.width, link.latency)
        if link.both_ways:
            _add_link(graph, link.b, link.a, link.width, link.latency)


SHAPES: dict[str, Callable[[NocParams, nx.DiGraph[str]], None]] = {
    "crossbar": _crossbar,
    "ring": _ring,
    "mesh": _mesh,
    "torus": _torus,
    "tree": _tree,
    "custom": _custom,
}
"""Topology name -> function that fills an empty graph with routers and links."""


def _named(graph: nx.DiGraph[str], indices: tuple[int, ...], field: str) -> list[str]:
    count = graph.number_of_nodes()
    for index in indices:
        if index >= count:
            raise ConfigError(f"noc.{field}", index, f"a router index below {count}")
    return [router_name(index) for index in indices]


def _memory_sites(params: NocParams, graph: nx.DiGraph[str]) -> list[str]:
    """The routers that carry memory ports, in the order in which the ports are dealt out."""
    if params.memory_nodes:
        return _named(graph, params.memory_nodes, "memory_nodes")
    if params.topology == "custom":
        return [node.name for node in params.nodes if node.role == "memory"]
    sites = [(name, data) for name, data in graph.nodes(data=True) if data["site"]]
    if params.memory_placement == "spread":
        return [name for name, _ in sites]
    rim_rows = (0, params.rows - 1) if params.memory_placement == "rim" else ()
    return [name for name, data in sites if data["col"] in (0, params.cols - 1) or data["row"] in rim_rows]


def _core_sites(params: NocParams, graph: nx.DiGraph[str], memory_sites: list[str], cores: int) -> list[str]:
    """The router of each core, in core order."""
    if params.core_nodes:
        if len(params.core_nodes) != cores:
            raise ConfigError("noc.core_nodes", params.core_nodes, f"one router for each of {cores} cores")
        return _named(graph, params.core_nodes, "core_nodes")
    if params.topology == "custom":
        return [node.name for node in params.nodes if node.role == "core"]
    sites = [name for name, data in graph.nodes(data=True) if data["site"]]
    free = [name for name in sites if name not in memory_sites] or sites
    return [free[core * len(free) // cores] if cores <= len(free) else free[core % len(free)] for core in range(cores)]


def _attach(
    graph: nx.DiGraph[str], ports: Sequence[str], sites: list[str], role: str, width: int, latency: int
) -> None:
    for index, port in enumerate(ports):
        if port in graph:
            raise ConfigError("noc", port, "port and router names that differ from each other")
        site = sites[index % len(sites)]
        graph.add_node(port, role=role, latency=0)
        _add_link(graph, port, site, width, latency)
        _add_link(graph, site, port, width, latency)


def _check_reachable(graph: nx.DiGraph[str], core_ports: Sequence[str], memory_ports: Sequence[str]) -> None:
    import networkx as nx

    for core in core_ports:
        reached = nx.descendants(graph, core)
        reaching = nx.ancestors(graph, core)
        for port in memory_ports:
            if port not in reached:
                raise _no_path(core, port)
            if port not in reaching:
                raise _no_path(port, core)
        for other in core_ports:
            if other != core and other not in reached:
                raise _no_path(core, other)


def _no_path(src: str, dst: str) -> WiringError:
    return WiringError(f"noc: {src} cannot reach {dst}; expected a path of links from every port to every other")
