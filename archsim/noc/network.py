"""The network at run time, in bulk: each transfer occupies every link of its routes once, in call order.

What is modelled: a link carries `width` bytes each cycle; heads cut through, so a free route costs its latency
plus the bytes at its narrowest link. Reads take a link in the order of the calls; what cores send shares it with
the reads that have booked it for later. While transfers queue for a link between routers, it carries
`queued_percent` of its width, since flits that wait keep those for other cores from passing.

What is approximated: a transfer's bytes are taken to cross a link back to back from the first arrival, also where
its channels trickle, so a later read sees the link's work but not its gaps; a read does not pass an earlier
call's, even where its head would be at a link first; routers have unlimited buffers. Zero load is exact against
the flit-level network, which agrees with BookSim 2; `archsim validate noc` compares the two under load.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import attrs

from archsim.kernel.snapshot import Visitor
from archsim.kernel.transfer import Share
from archsim.noc.load import Load, Weigher
from archsim.noc.params import NocParams
from archsim.noc.plan import Plan, Planner, Route
from archsim.noc.routing import RouteTable
from archsim.noc.topology import build_topology

if TYPE_CHECKING:
    import networkx as nx

MAX_PLANS = 4096
"""Plans kept; beyond it they are made anew, which costs time and changes no result."""
MAX_LOADS = 256
"""Loads kept of each plan, in the same way."""

_Key = tuple[tuple[int, ...], ...]


@attrs.frozen
class LinkUse:
    """What one directed link has done: bytes carried, ps occupied, and its width in bytes/cycle."""

    src: str
    dst: str
    bytes: int
    busy_ps: int
    width: int


class Network:
    """Links between `cores` ports "core{i}.port" and `channels` memory ports "hbm.ch{j}".

    State between calls, all in absolute ps or plain counts: `free_ps`, `sent_ps` (free for what cores send),
    `link_bytes` and `link_busy_ps` (bytes / width) per link, numbered as `ends` (the memory ports' links first:
    channel j's outward-facing link is j, its inward-facing one `channels` + j), the tallies of loads not yet
    settled, and `bytes`, the payload delivered. Raises WiringError and ConfigError as `build_topology` does.
    """

    def __init__(self, params: NocParams, cores: int, channels: int, period_ps: int) -> None:
        self.params, self.cores, self.channels, self.period_ps = params, cores, channels, period_ps
        core_ports = [f"core{core}.port" for core in range(cores)]
        memory_ports = [f"hbm.ch{channel}" for channel in range(channels)]
        self.graph: nx.DiGraph[str] = build_topology(params, core_ports, memory_ports)
        self.ends = _link_order(self.graph, memory_ports)
        self._number = {end: link for link, end in enumerate(self.ends)}
        self.widths: list[int] = [self.graph.edges[end]["width"] for end in self.ends]
        self.free_ps = [0] * len(self.ends)
        self.sent_ps = [0] * len(self.ends)
        self.link_bytes = [0] * len(self.ends)
        self.link_busy_ps = [0] * len(self.ends)
        self.bytes = 0
        roles = self.graph.nodes(data="role")
        between = [roles[src] == roles[dst] == "router" for src, dst in self.ends]
        queued_percent = [params.queued_percent if inner and cores > 1 else 100 for inner in between]
        self._weigher = Weigher(period_ps, self.widths, queued_percent)
        self._tallied: list[Load] = []
        self._idle_ps = 0  # no memory port's outward link is busy from then on
        self._planner = Planner(self.widths, [self._hop_ps(*end) for end in self.ends])
        table = RouteTable(self.graph)
        self._in = [[self._route(table, port, core) for port in memory_ports] for core in core_ports]
        self._out = [[self._route(table, core, port) for port in memory_ports] for core in core_ports]
        self._between = [[self._route(table, core, other) for other in core_ports] for core in core_ports]
        self._in_plans: list[dict[_Key, Plan]] = [{} for _ in core_ports]
        self._out_plans: list[dict[_Key, Plan]] = [{} for _ in core_ports]

    def _hop_ps(self, src: str, dst: str) -> int:
        cycles: int = self.graph.edges[src, dst]["latency"] + self.graph.nodes[dst]["latency"]
        return cycles * self.period_ps

    def _route(self, table: RouteTable, src: str, dst: str) -> Route:
        path = table.path(src, dst)
        return tuple(self._number[end] for end in pairwise(path))

    def request_latency_ps(self, core: int) -> int:
        """Longest zero-load latency from a core to a memory port; commands take no bandwidth."""
        return max(self._planner.latency_ps(route) for route in self._out[core])

    def response_latency_ps(self, core: int) -> int:
        """Longest zero-load latency from a memory port to a core."""
        return max(self._planner.latency_ps(route) for route in self._in[core])

    def deliver(self, shares: Sequence[Share], core: int) -> tuple[int, bool]:
        """Carry what the memory has read to a core.

        Returns (finish_ps, noc_bound): when the last byte stands at the core's port, and whether a link
        rather than a channel decided that. Each link is occupied from the first arrival (or when it is
        free) for all the bytes that cross it.
        """
        plans = self._in_plans[core]
        key = tuple([share[0] for share in shares])
        plan = plans.get(key) or self._remember(plans, key, self._planner.inbound(key, self._in[core]))
        load = self._take(plan, tuple([share[1] for share in shares]))
        free, links_end = self.free_ps, 0
        heads: list[int] = []
        for front, _, service in load.fronts:
            at_ps = shares[front.share][2]
            end = front.book(free, at_ps, service, heads, idle=at_ps >= self._idle_ps)
            if end > links_end:
                links_end = end
        if links_end > self._idle_ps:
            self._idle_ps = links_end
        for link, hop_ps, tail_ps, feeds, _, service, queued in load.trunks:
            start, head = free[link], min(feeds(heads))
            if head >= start:
                start, end = head, head + service
            else:
                end = start + queued
            free[link] = end
            heads.append(start + hop_ps)
            if end + tail_ps > links_end:
                links_end = end + tail_ps
        finish = max([share[3] + route_ps for share, route_ps in zip(shares, plan.routes_ps, strict=True)], default=0)
        return (links_end, True) if links_end > finish else (finish, False)

    def send_to_memory(self, at_ps: int, groups: Sequence[tuple[tuple[int, ...], int]], core: int) -> int:
        """Carry a core's write, ready at its port from `at_ps`, to the memory.

        `groups` is (channels, bytes for each of them). Returns the ps at which the last byte stands at its
        channel: writes are buffered there whole before the memory takes them.
        """
        plans = self._out_plans[core]
        key = tuple([group[0] for group in groups])
        plan = plans.get(key) or self._remember(plans, key, self._planner.outbound(key, self._out[core]))
        load = self._take(plan, tuple([group[1] for group in groups]))
        heads, arrival = [at_ps], at_ps
        for trunk in load.trunks:
            start, end = self._send(trunk.link, min(trunk.heads(heads)), trunk.service_ps, trunk.queued_ps)
            heads.append(start + trunk.hop_ps)
            arrival = max(arrival, end + trunk.tail_ps)
        for bundle, service in load.bundles:
            _, end = bundle.book(self.free_ps, heads[bundle.feed], service)
            arrival = max(arrival, end + bundle.tail_ps)
        return arrival

    def _send(self, link: int, head: int, service: int, queued: int) -> tuple[int, int]:
        """Occupy a link for what a core sends, whose head is there at `head`; returns (start, end).

        It takes `service` ps, or `queued` if it has to wait. Reads may have booked the link for data that are still to
        come. What is sent shares the link with them, a flit of one and a flit of the other, and so takes twice its
        time, and puts off the reads to come.
        """
        free, sent = self.free_ps, self.sent_ps
        start = max(head, sent[link])
        if max(start, free[link]) > head:
            service = queued
        if free[link] > start:
            free[link] += service
            sent[link] = end = min(start + 2 * service, free[link])
        else:
            free[link] = sent[link] = end = start + service
        return start, end

    def put(self, src_core: int, dst_core: int, nbytes: int, at_ps: int) -> tuple[int, int]:
        """Carry `nbytes`, ready at one core's port from `at_ps`, to another core.

        Returns (first_ps, finish_ps): when the head and the last byte stand at the receiver's port.
        """
        route = self._between[src_core][dst_core]
        hops_ps = self._planner.hops_ps
        head, finish = at_ps, at_ps
        for link in route:
            service, queued = self._weigher.link(nbytes, link)
            start, end = self._send(link, head, service, queued)
            self._count(slice(link, link + 1), nbytes, service)
            head = start + hops_ps[link]
            finish = max(finish, end) + hops_ps[link]
        self.bytes += nbytes
        return head, finish

    def _remember(self, plans: dict[_Key, Plan], key: _Key, plan: Plan) -> Plan:
        if len(plans) >= MAX_PLANS:
            self.settle()
            plans.clear()
        plans[key] = plan
        return plan

    def _take(self, plan: Plan, nbytes: tuple[int, ...]) -> Load:
        """The load of a transfer of `nbytes` per channel of each share, tallied."""
        load = plan.loads.get(nbytes)
        if load is None:
            if len(plan.loads) >= MAX_LOADS:
                plan.loads.clear()
            load = plan.loads[nbytes] = self._weigher.load(plan, nbytes)
        if not load.times:
            self._tallied.append(load)
        load.times += 1
        self.bytes += load.nbytes
        return load

    def settle(self) -> None:
        """Move what the loads have tallied into `link_bytes` and `link_busy_ps`."""
        for load in self._tallied:
            for front, nbytes, service in load.fronts:
                for where, _ in front.spans:
                    self._count(where, nbytes * load.times, service * load.times)
            for trunk in load.trunks:
                where = slice(trunk.link, trunk.link + 1)
                self._count(where, trunk.nbytes * load.times, trunk.service_ps * load.times)
            load.times = 0
        self._tallied.clear()

    def _count(self, where: slice, nbytes: int, busy_ps: int) -> None:
        for link in range(len(self.ends))[where]:
            self.link_bytes[link] += nbytes
            self.link_busy_ps[link] += busy_ps

    def replay(self, visitor: Visitor) -> None:
        """When each link is free; what it has carried."""
        self.settle()
        now = visitor.now
        for clock in (self.free_ps, self.sent_ps):
            visitor.state(tuple([free - now if free > now else 0 for free in clock]))
        visitor.count_list(self.link_bytes)
        visitor.count_list(self.link_busy_ps)
        self.bytes = visitor.count(self.bytes)

    @property
    def hop_bytes(self) -> int:
        """Bytes times links crossed, attachment links included."""
        self.settle()
        return sum(self.link_bytes)

    def links(self) -> tuple[LinkUse, ...]:
        """What every link has done so far, in link order."""
        self.settle()
        rows = zip(self.ends, self.link_bytes, self.link_busy_ps, self.widths, strict=True)
        return tuple(LinkUse(src, dst, nbytes, busy, width) for (src, dst), nbytes, busy, width in rows)

    def hottest(self, n: int) -> tuple[LinkUse, ...]:
        """The `n` links occupied longest, longest first; equals in order of name."""
        return tuple(sorted(self.links(), key=lambda use: (-use.busy_ps, use.src, use.dst))[:n])

    def load_bound_ps(
        self,
        read: Mapping[int, Sequence[int]],
        write: Mapping[int, Sequence[int]],
        put: Mapping[tuple[int, int], int] | None = None,
    ) -> int:
        """Least time the given traffic needs: the longest bytes / width over all links, in ps.

        `read` and `write` are per core the bytes of each channel, `put` the bytes of each (source,
        destination) core pair. Never above what `deliver` books for reads alone, nor `send_to_memory` and `put` for
        the rest; what is sent may overtake reads that were promised their time.
        """
        loads = [0] * len(self.ends)
        flows = [(self._in[core][channel], n) for core, part in read.items() for channel, n in enumerate(part)]
        flows += [(self._out[core][channel], n) for core, part in write.items() for channel, n in enumerate(part)]
        flows += [(self._between[src][dst], n) for (src, dst), n in (put or {}).items()]
        for route, nbytes in flows:
            for link in route:
                loads[link] += nbytes
        return max(-(-load // width) for load, width in zip(loads, self.widths, strict=True)) * self.period_ps


def _link_order(graph: nx.DiGraph[str], memory_ports: list[str]) -> list[tuple[str, str]]:
    """Links by number: memory ports' outward links, their inward links, then the rest in graph order.

    Channels that neighbour each other are numbered consecutively, so that plans can book them as slices.
    """
    into = [(port, next(iter(graph.successors(port)))) for port in memory_ports]
    out = [(dst, src) for src, dst in into]
    attached = {*into, *out}
    return [*into, *out, *(end for end in graph.edges if end not in attached)]
