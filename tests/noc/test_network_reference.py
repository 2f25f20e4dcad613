"""Bundled booking against a model that walks every link of every route by name."""

from __future__ import annotations

from itertools import pairwise

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsim.kernel.transfer import Share
from archsim.noc import Network, NocParams
from archsim.noc.routing import RouteTable

PS = 1000
CORES, CHANNELS = 3, 10
SHAPES = {
    "crossbar": NocParams(),
    "ring": NocParams(topology="ring", cols=5, link_bytes_per_cycle=24),
    "mesh": NocParams(topology="mesh", rows=3, cols=3, memory_placement="rim", router_latency=1),
    "torus": NocParams(topology="torus", rows=3, cols=4, link_bytes_per_cycle=48),
    "tree": NocParams(topology="tree", cols=5, arity=2, link_latency=0),
}
Edge = tuple[str, str]


@attrs.define(eq=False)
class Reference:
    """Links by name; the attachment links of a share one by one, every other link once a transfer."""

    network: Network
    table: RouteTable
    free: dict[Edge, int] = attrs.field(factory=dict)
    sent: dict[Edge, int] = attrs.field(factory=dict)
    bytes: dict[Edge, int] = attrs.field(factory=dict)
    busy: dict[Edge, int] = attrs.field(factory=dict)

    def route(self, src: str, dst: str) -> list[Edge]:
        return list(pairwise(self.table.path(src, dst)))

    def latency(self, edges: list[Edge]) -> int:
        graph = self.network.graph
        return sum(graph.edges[edge]["latency"] + graph.nodes[edge[1]]["latency"] for edge in edges) * PS

    def service(self, edge: Edge, load: int, queued: bool) -> int:
        """ps that a link needs; more between routers while transfers queue."""
        inner = all(name.startswith("noc.") for name in edge)
        percent = self.network.params.queued_percent if queued and inner else 100
        return -(-load * 100 // (self.network.graph.edges[edge]["width"] * percent)) * PS

    def note(self, edge: Edge, load: int) -> None:
        self.bytes[edge] = self.bytes.get(edge, 0) + load
        self.busy[edge] = self.busy.get(edge, 0) + self.service(edge, load, False)

    def book(self, edge: Edge, at: int, load: int) -> tuple[int, int]:
        self.note(edge, load)
        start = max(at, self.free.get(edge, 0))
        self.free[edge] = start + self.service(edge, load, start > at)
        return start, self.free[edge]

    def book_sent(self, edge: Edge, at: int, load: int) -> tuple[int, int]:
        """Half of what the reads have booked is left for what cores send, and puts off later reads."""
        self.note(edge, load)
        start, reads = max(at, self.sent.get(edge, 0)), self.free.get(edge, 0)
        service = self.service(edge, load, start > at or reads > at)
        if reads > start:
            self.free[edge] = reads + service
            self.sent[edge] = min(start + 2 * service, reads + service)
        else:
            self.free[edge] = self.sent[edge] = start + service
        return start, self.sent[edge]

    def book_shared(self, routes: list[tuple[list[Edge], int]], heads: dict[Edge, int], sent: bool) -> int:
        """Book the links between routers and at the core once each, after all the links that lead to them."""
        before: dict[Edge, set[Edge]] = {route[0]: set() for route, _ in routes}
        for route, _ in routes:
            for earlier, later in pairwise(route):
                before.setdefault(later, set()).add(earlier)
        todo = {edge for edge in before if "hbm" not in "".join(edge)}
        last = 0
        while todo:
            edge = min(edge for edge in todo if not before[edge] & todo)
            todo.remove(edge)
            mine = [(route, n) for route, n in routes if edge in route]
            book = self.book_sent if sent else self.book
            start, end = book(edge, heads[edge], sum(n for _, n in mine))
            for route, _ in mine:
                rest = route[route.index(edge) :]
                last = max(last, end + self.latency(rest))
                if len(rest) > 1:
                    heads[rest[1]] = min(start + self.latency([edge]), heads.get(rest[1], 10**18))
        return last

    def deliver(self, shares: list[Share], core: int) -> tuple[int, bool]:
        heads: dict[Edge, int] = {}
        routes: list[tuple[list[Edge], int]] = []
        links = channels = 0
        for share in shares:
            for channel in share.channels:
                route = self.route(f"hbm.ch{channel}", f"core{core}.port")
                start, end = self.book(route[0], share.first_ps, share.nbytes)
                heads[route[1]] = min(start + self.latency(route[:1]), heads.get(route[1], 10**18))
                links = max(links, end + self.latency(route))
                channels = max(channels, share.last_ps + self.latency(route))
                routes.append((route, share.nbytes))
        links = max(links, self.book_shared(routes, heads, sent=False))
        return max(links, channels), links > channels

    def send(self, at: int, groups: list[tuple[tuple[int, ...], int]], core: int) -> int:
        routes = [(self.route(f"core{core}.port", f"hbm.ch{c}"), n) for channels, n in groups for c in channels]
        heads = {routes[0][0][0]: at}
        arrival = self.book_shared(routes, heads, sent=True)
        for route, nbytes in routes:
            _, end = self.book(route[-1], heads[route[-1]], nbytes)
            arrival = max(arrival, end + self.latency(route[-1:]))
        return arrival


@st.composite
def groups(draw: st.DrawFn) -> list[tuple[tuple[int, ...], int]]:
    order = draw(st.permutations(range(CHANNELS)))
    count = draw(st.integers(1, CHANNELS))
    cut = draw(st.integers(0, count - 1))
    parts = [part for part in (sorted(order[:cut]), sorted(order[cut:count])) if part]
    return [(tuple(part), draw(st.integers(1, 400))) for part in parts]


STEPS = st.lists(
    st.tuples(st.sampled_from(["read", "write"]), st.integers(0, CORES - 1), st.integers(0, 9000), groups()),
    max_size=6,
)


@pytest.mark.parametrize("shape", SHAPES)
@given(steps=STEPS, spread=st.integers(0, 20_000))
@settings(max_examples=25, deadline=None)
def test_bundles_equal_links_walked_one_by_one(
    shape: str, steps: list[tuple[str, int, int, list[tuple[tuple[int, ...], int]]]], spread: int
) -> None:
    network = Network(SHAPES[shape], CORES, CHANNELS, PS)
    reference = Reference(network, RouteTable(network.graph))
    now = 0
    for kind, core, gap, parts in steps:
        now += gap
        if kind == "read":
            shares = [Share(part, n, now + 300 * i, now + spread) for i, (part, n) in enumerate(parts)]
            assert network.deliver(shares, core) == reference.deliver(shares, core)
        else:
            assert network.send_to_memory(now, parts, core) == reference.send(now, parts, core)
    uses = network.links()
    assert [use.bytes for use in uses] == [reference.bytes.get(end, 0) for end in network.ends]
    assert [use.busy_ps for use in uses] == [reference.busy.get(end, 0) for end in network.ends]
    assert network.free_ps == [reference.free.get(end, 0) for end in network.ends]


@pytest.mark.parametrize("shape", SHAPES)
@given(steps=STEPS)
@settings(max_examples=20, deadline=None)
def test_no_run_beats_its_load_bound(
    shape: str, steps: list[tuple[str, int, int, list[tuple[tuple[int, ...], int]]]]
) -> None:
    network = Network(SHAPES[shape], CORES, CHANNELS, PS)
    loads = {kind: {core: [0] * CHANNELS for core in range(CORES)} for kind in ("read", "write")}
    finish = 0
    for kind, core, _, parts in steps:
        for channels, nbytes in parts:
            for channel in channels:
                loads[kind][core][channel] += nbytes
        if kind == "read":
            finish = max(finish, network.deliver([Share(part, n, 0, 0) for part, n in parts], core)[0])
        else:
            finish = max(finish, network.send_to_memory(0, parts, core))
    # What is sent may overtake reads that have been promised their time, so each is bound by its own kind.
    assert network.load_bound_ps(loads["read"], {}) <= finish
    assert network.load_bound_ps({}, loads["write"]) <= finish
