"""Plans: which links one kind of transfer crosses, in order, with channels that share a fate bundled.

A plan is made once per (channels of each share, core, direction) and used by every transfer of that kind.
Routes with a common end form a tree (see `archsim.noc.routing`), so each link of a plan has one way on to
that end, and the position of a link in its longest route is an order in which links can be booked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby, pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

import attrs

if TYPE_CHECKING:
    from archsim.noc.load import Load

Route = tuple[int, ...]
"""Link numbers from end to end."""

_Kind = tuple[int, Route, int]
"""What tells routes apart but for their attachment links: (latency before the trunks, those, latency behind)."""


@attrs.frozen(eq=False)
class Bundle:
    """Memory attachment links, `count` of them equally spaced in the link table, at one router.

    `hop_ps` is the latency of the link and the node behind it, `tail_ps` that of the rest of the route, both included;
    `feed` is the trunk that leads to them (core to memory only).
    """

    where: slice
    count: int
    share: int
    width: int
    hop_ps: int
    tail_ps: int
    feed: int = -1

    @property
    def links(self) -> range:
        """The links' numbers."""
        return range(self.where.start, self.where.stop, self.where.step)

    def book(self, free: list[int], at_ps: int, service_ps: int) -> tuple[int, int]:
        """Occupy every link from `at_ps` or when it is free; returns (first start, last end) in ps."""
        where = self.where
        frees = free[where]
        latest = max(frees)
        if latest <= at_ps or min(frees) == latest:
            start = latest if latest > at_ps else at_ps
            end = start + service_ps
            free[where] = [end] * self.count
            return start, end
        starts = [ready if ready > at_ps else at_ps for ready in frees]
        free[where] = [start + service_ps for start in starts]
        return min(starts), max(starts) + service_ps


class Front(NamedTuple):
    """Attachment links of equal width and latency that carry equal parts of one share, at all routers.

    They are `bundles` by router, and `spans` of (links, count) without regard to routers; `tail_ps` is that of the
    longest route.
    """

    share: int
    width: int
    hop_ps: int
    tail_ps: int
    bundles: tuple[Bundle, ...]
    spans: tuple[tuple[slice, int], ...]

    def book(self, free: list[int], at_ps: int, service_ps: int, heads: list[int], *, idle: bool) -> int:
        """Occupy every link from `at_ps` or when it is free; returns when the last tail is at the end of its route.

        `idle` says that all are free. Appends to `heads` when each bundle's first head is behind the next node.
        """
        hop_ps = self.hop_ps
        if idle or max([max(free[where]) for where, _ in self.spans]) <= at_ps:
            end = at_ps + service_ps
            for where, count in self.spans:
                free[where] = [end] * count
            heads += [at_ps + hop_ps] * len(self.bundles)
            return end + self.tail_ps
        tails_end = 0
        for bundle in self.bundles:
            start, end = bundle.book(free, at_ps, service_ps)
            heads.append(start + hop_ps)
            if end + bundle.tail_ps > tails_end:
                tails_end = end + bundle.tail_ps
        return tails_end


class Trunk(NamedTuple):
    """One link that all shares of a transfer may cross.

    `hop_ps` is the latency of the link and the node behind it, `tail_ps` that of the rest of the longest
    route through it, both included; `feeds` are the positions of the bundles and trunks before it;
    `counts` is (share, number of its channels whose bytes cross the link).
    """

    link: int
    width: int
    hop_ps: int
    tail_ps: int
    feeds: tuple[int, ...]
    counts: tuple[tuple[int, int], ...]


@attrs.frozen
class Plan:
    """Links of one kind of transfer: `routes_ps` is each share's longest zero-load latency.

    `loads` are what transfers of this kind carried, by bytes per channel of each share.
    """

    fronts: tuple[Front, ...]
    trunks: tuple[Trunk, ...]
    routes_ps: tuple[int, ...]
    channel_counts: tuple[int, ...]
    loads: dict[tuple[int, ...], Load] = attrs.field(factory=dict)


@attrs.frozen
class Planner:
    """Makes plans from the link table: `widths` in bytes/cycle, `hops_ps` per link."""

    widths: Sequence[int]
    hops_ps: Sequence[int]

    def inbound(self, shares: Sequence[Sequence[int]], routes: Sequence[Route]) -> Plan:
        """Memory to core: bundles first, then trunks towards the core; `routes` by channel."""
        bundles: list[Bundle] = []
        position: dict[int, list[int]] = {}
        for share, group, inner in self._groups(shares, routes, attachment=0, neighbour=1):
            for where, count in _even_runs(group):
                position.setdefault(inner, []).append(len(bundles))
                bundles.append(self._bundle(where, count, share, self.latency_ps(routes[group[0]])))
        kinds = [Counter([(self.hops_ps[routes[c][0]], routes[c][1:], 0) for c in share]) for share in shares]
        links = _in_order(kinds)
        feeds = {link: list(position.get(link, [])) for link in links}
        place = {link: len(bundles) + index for index, link in enumerate(links)}
        for _, trunks, _ in chain.from_iterable(kinds):
            for link, onward in pairwise(trunks):
                if place[link] not in feeds[onward]:
                    feeds[onward].append(place[link])
        return self._plan(kinds, bundles, links, feeds)

    def outbound(self, shares: Sequence[Sequence[int]], routes: Sequence[Route]) -> Plan:
        """Core to memory: trunks from the core outwards, then bundles; `routes` by channel."""
        kinds = [Counter([(0, routes[c][:-1], self.hops_ps[routes[c][-1]]) for c in share]) for share in shares]
        links = _in_order(kinds)
        # The first head is that of the core's data.
        place = {link: index + 1 for index, link in enumerate(links)}
        feeds: dict[int, list[int]] = {link: [0] for link in links}
        for _, trunks, _ in chain.from_iterable(kinds):
            for link, onward in pairwise(trunks):
                feeds[onward] = [place[link]]
        bundles: list[Bundle] = []
        for share, group, inner in self._groups(shares, routes, attachment=-1, neighbour=-2):
            for where, count in _even_runs(group):
                bundles.append(self._bundle(where, count, share, self.hops_ps[where.start], place[inner]))
        return self._plan(kinds, bundles, links, feeds)

    def latency_ps(self, route: Route) -> int:
        """Zero-load latency of a route."""
        return sum(self.hops_ps[link] for link in route)

    def _groups(
        self, shares: Sequence[Sequence[int]], routes: Sequence[Route], attachment: int, neighbour: int
    ) -> Iterator[tuple[int, list[int], int]]:
        """(share, attachment links, the trunk next to them) for links of one share at one router."""
        for share, channels in enumerate(shares):
            groups: dict[int, list[int]] = {}
            for channel in channels:
                route = routes[channel]
                groups.setdefault(route[neighbour], []).append(route[attachment])
            for inner, group in groups.items():
                yield share, group, inner

    def _bundle(self, where: slice, count: int, share: int, tail_ps: int, feed: int = -1) -> Bundle:
        return Bundle(where, count, share, self.widths[where.start], self.hops_ps[where.start], tail_ps, feed)

    def _plan(
        self, kinds: Sequence[Counter[_Kind]], bundles: list[Bundle], links: list[int], feeds: dict[int, list[int]]
    ) -> Plan:
        tails, counts = dict.fromkeys(links, 0), {link: Counter[int]() for link in links}
        longest = [0] * len(kinds)
        for share, number in enumerate(kinds):
            for (before_ps, trunks, rest_ps), channels in number.items():
                for link in reversed(trunks):
                    rest_ps += self.hops_ps[link]
                    tails[link] = max(tails[link], rest_ps)
                    counts[link][share] += channels
                longest[share] = max(longest[share], before_ps + rest_ps)
        made = [
            Trunk(link, self.widths[link], self.hops_ps[link], tails[link], (*feeds[link],), (*counts[link].items(),))
            for link in links
        ]
        channel_counts = tuple([number.total() for number in kinds])
        return Plan(_fronts(bundles), tuple(made), tuple(longest), channel_counts)


def _in_order(kinds: Sequence[Iterable[_Kind]]) -> list[int]:
    """The trunks' links in booking order."""
    depth: dict[int, int] = {}
    for _, trunks, _ in chain.from_iterable(kinds):
        for index, link in enumerate(trunks):
            depth[link] = max(index, depth.get(link, 0))
    return sorted(depth, key=lambda link: (depth[link], link))


def _fronts(bundles: Sequence[Bundle]) -> tuple[Front, ...]:
    """Neighbouring bundles of one share that are alike."""
    fronts = []
    for (share, width, hop_ps), group in groupby(bundles, key=attrgetter("share", "width", "hop_ps")):
        alike = tuple(group)
        links = sorted([link for bundle in alike for link in bundle.links])
        spans = tuple(_even_runs(links))
        fronts.append(Front(share, width, hop_ps, max([bundle.tail_ps for bundle in alike]), alike, spans))
    return tuple(fronts)


def _even_runs(links: Sequence[int]) -> Iterator[tuple[slice, int]]:
    """Cut a list of link numbers into equally spaced, increasing runs, as (slice, length)."""
    first = 0
    while first < len(links):
        last = first + 1
        step = links[last] - links[first] if last < len(links) else 1
        if step < 1:
            step = 1
        while last < len(links) and links[last] == links[last - 1] + step:
            last += 1
        yield slice(links[first], links[last - 1] + 1, step), last - first
        first = last
