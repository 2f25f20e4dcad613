"""AsyncLane: once a block is nearly done, the next one is begun in the same forwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import attrs

from workloads.evidence import ABSTRACT_ONLY
from workloads.forwards import Forward
from workloads.schedules.base import BlockSchedule
from workloads.schedules.logged import Logged
from workloads.schedules.options import option, refusal
from workloads.schedules.record import Place, Rows, make_forward


@attrs.frozen(kw_only=True)
class AsynclaneSchedule(Logged, BlockSchedule):
    """Dual cache; a block's first forward refreshes it and decodes, and later ones may carry two lanes.

    Once at most the share `fork` of a block's rows is masked, the next block's rows are sent along as a second
    lane that shares the cached prefix, until the first one is done. Of a forward's tokens the block in front
    takes the larger half, as far as it has masks. The reference forks where it meets a delimiter; `fork` stands
    for that.
    """

    name: ClassVar[str] = "asynclane"
    kind: ClassVar[str] = "speculative"
    evidence: ClassVar[str] = ABSTRACT_ONLY
    source: ClassVar[str] = "AsyncLane, asynchronous lanes for diffusion language models"

    fork: float = attrs.field(default=0.5, metadata=option("share of masked rows at which the next block begins"))

    def _check(self) -> None:
        super()._check()
        if not 0 <= self.fork <= 1:
            raise refusal(self, f"fork is {self.fork:g}", "0 to 1")

    def forwards(self) -> Iterator[Forward]:
        """The forwards of all blocks in order."""
        stream, index, ahead = self.stream(), 0, self.block
        for block in range(self.blocks):
            masked, step, ahead = ahead, 0, self.block
            stream.start_block()
            while masked:
                forked = step > 0 and masked <= self.fork * self.block and block + 1 < self.blocks
                committed = stream.take(masked + ahead * forked, least=1).committed
                place = Place(index, self.prompt + block * self.block, block, step)
                yield self._forward(place, committed, forked=forked)
                front = min(committed if not forked else max(committed - committed // 2, committed - ahead), masked)
                masked, ahead = masked - front, ahead - (committed - front)
                index, step = index + 1, step + 1
        stream.finish()

    def _forward(self, place: Place, committed: int, *, forked: bool) -> Forward:
        canvas, lanes = self.canvas.count, 1 + forked
        if place.step == 0:
            head = self.own(place) if self.ideal else self.canvas
            return make_forward(place, "warm", self.canvas, canvas, head=head, committed=committed)
        query = Rows(place.block_start, lanes * self.block)
        return make_forward(place, "refine", query, canvas, committed=committed, branches=lanes)
