"""Deterministic routes, computed once at elaboration into plain tuples of node names.

- grids (crossbar, mesh, torus, ring): dimension order, columns (X) before rows (Y); where a dimension
  wraps, the shorter way round, and the positive direction where both are equal;
- trees: up to the lowest common ancestor, then down;
- custom: least latency, then fewest links, then the lexicographically smallest sequence of node names.

Each rule makes all routes into a node an in-tree and all routes out of a node an out-tree: two routes with
the same end never part and meet again. `archsim.noc.plan` relies on that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from archsim.noc.topology import router_name

if TYPE_CHECKING:
    import networkx as nx


@attrs.define(eq=False)
class RouteTable:
    """Routes over one graph, remembered per pair of routers."""

    graph: nx.DiGraph[str]
    _known: dict[tuple[str, str], tuple[str, ...]] = attrs.field(factory=dict, init=False)
    _costs: dict[str, dict[str, int]] = attrs.field(factory=dict, init=False)

    def path(self, src: str, dst: str) -> tuple[str, ...]:
        """Nodes from attachment point `src` to attachment point `dst`, both included."""
        pair = next(self.graph.successors(src)), next(self.graph.predecessors(dst))
        middle = self._known.get(pair)
        if middle is None:
            middle = self._known[pair] = tuple(_RULES[self.graph.graph["routing"]](self, *pair))
        return (src, *middle, dst)

    def _dimension_order(self, src: str, dst: str) -> list[str]:
        shape, here, there = self.graph.graph, self.graph.nodes[src], self.graph.nodes[dst]
        rows, cols, wrap = shape["rows"], shape["cols"], shape["wrap"]
        row, col, path = here["row"], here["col"], [src]
        while col != there["col"]:
            col = (col + _step(col, there["col"], cols, wrap)) % cols
            path.append(router_name(row * cols + col))
        while row != there["row"]:
            row = (row + _step(row, there["row"], rows, wrap)) % rows
            path.append(router_name(row * cols + col))
        return path

    def _up_down(self, src: str, dst: str) -> list[str]:
        up, down = self._ancestry(src), self._ancestry(dst)
        while len(up) > 1 and len(down) > 1 and up[-2] == down[-2]:
            up.pop()
            down.pop()
        return up + down[-2::-1]

    def _ancestry(self, name: str) -> list[str]:
        chain = [name]
        while "parent" in self.graph.nodes[chain[-1]]:
            chain.append(self.graph.nodes[chain[-1]]["parent"])
        return chain

    def _shortest(self, src: str, dst: str) -> list[str]:
        cost, path = self._cost_to(dst), [src]
        while path[-1] != dst:
            here = path[-1]
            onward = [node for node in self.graph.successors(here) if node in cost]
            path.append(min(onward, key=lambda node: (self._edge_cost(here, node) + cost[node], node)))
        return path

    def _cost_to(self, dst: str) -> dict[str, int]:
        if dst not in self._costs:
            import networkx as nx  # elaboration only

            def weight(entered: str, left: str, _: dict[str, Any]) -> int:
                return self._edge_cost(left, entered)

            backwards = self.graph.reverse(copy=False)
            lengths = nx.single_source_dijkstra_path_length(backwards, dst, weight=weight)
            self._costs[dst] = {node: int(length) for node, length in lengths.items()}
        return self._costs[dst]

    def _edge_cost(self, src: str, dst: str) -> int:
        """Latency, scaled so that no number of links outweighs a cycle, plus one for the link."""
        latency: int = self.graph.edges[src, dst]["latency"] + self.graph.nodes[dst]["latency"]
        return latency * (self.graph.number_of_nodes() + 1) + 1


def _step(here: int, there: int, size: int, wrap: bool) -> int:
    if not wrap:
        return 1 if there > here else -1
    return 1 if 2 * ((there - here) % size) <= size else -1


_RULES: dict[str, Callable[[RouteTable, str, str], list[str]]] = {
    "dimension-order": RouteTable._dimension_order,
    "up-down": RouteTable._up_down,
    "shortest": RouteTable._shortest,
}
