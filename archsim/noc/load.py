"""Loads: a plan's transfers of given sizes, with how long each of its links is busy with one of them."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import NamedTuple

import attrs

from archsim.noc.plan import Bundle, Front, Plan, Trunk


class TrunkLoad(NamedTuple):
    """What a transfer means for one trunk: `nbytes` in `service_ps`, or in `queued_ps` where they have to wait.

    `heads` picks those of the feeds from the heads of all bundles and trunks.
    """

    link: int
    hop_ps: int
    tail_ps: int
    heads: itemgetter[tuple[int, ...]]
    nbytes: int
    service_ps: int
    queued_ps: int


@attrs.define(eq=False)
class Load:
    """A transfer of `nbytes` in all: (front, bytes, ps) and (bundle, ps), both for each link, and its trunks.

    `times` tallies the transfers since the network last settled its counters.
    """

    nbytes: int
    fronts: tuple[tuple[Front, int, int], ...]
    bundles: tuple[tuple[Bundle, int], ...]
    trunks: tuple[TrunkLoad, ...]
    times: int = 0


@attrs.frozen
class Weigher:
    """Makes loads: `queued_percent` of a link's width is what it carries of transfers that wait."""

    period_ps: int
    widths: Sequence[int]
    queued_percent: Sequence[int]

    def load(self, plan: Plan, nbytes: Sequence[int]) -> Load:
        """The load of a transfer of `nbytes` per channel of each of the plan's shares."""
        services = [-(-nbytes[front.share] // front.width) * self.period_ps for front in plan.fronts]
        fronts = zip(plan.fronts, [nbytes[front.share] for front in plan.fronts], services, strict=True)
        bundles = [
            (bundle, time) for front, time in zip(plan.fronts, services, strict=True) for bundle in front.bundles
        ]
        return Load(
            sum([each * count for each, count in zip(nbytes, plan.channel_counts, strict=True)]),
            tuple(fronts),
            tuple(bundles),
            tuple([self._trunk(trunk, nbytes) for trunk in plan.trunks]),
        )

    def _trunk(self, trunk: Trunk, nbytes: Sequence[int]) -> TrunkLoad:
        total = sum([nbytes[share] * count for share, count in trunk.counts])
        heads = itemgetter(*trunk.feeds, trunk.feeds[0])
        return TrunkLoad(trunk.link, trunk.hop_ps, trunk.tail_ps, heads, total, *self.link(total, trunk.link))

    def link(self, nbytes: int, link: int) -> tuple[int, int]:
        """Time of `nbytes` on a link, and where they have to wait for it, both in whole cycles."""
        width, percent = self.widths[link], self.queued_percent[link]
        return -(-nbytes // width) * self.period_ps, -(-nbytes * 100 // (width * percent)) * self.period_ps
