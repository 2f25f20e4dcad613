"""FreeCache: K/V of the prompt and of finished blocks stay as they are; only a window is computed again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import attrs

from workloads.evidence import ABSTRACT_ONLY
from workloads.forwards import Forward
from workloads.schedules.base import SteppedSchedule
from workloads.schedules.options import option, refusal
from workloads.schedules.record import Rows, make_forward


@attrs.frozen(kw_only=True)
class FreecacheSchedule(SteppedSchedule):
    """One forward over the canvas fills the cache; all others send a window that starts at the current block.

    Unlike Fast-dLLM's caches it is never refreshed: what stands before the window is frozen, what stands behind
    it keeps the K/V of the last forward that sent it. `window` is its length; the published one is not known.
    """

    name: ClassVar[str] = "freecache"
    kind: ClassVar[str] = "caching"
    evidence: ClassVar[str] = ABSTRACT_ONLY
    source: ClassVar[str] = "arXiv 2505.21467"

    window: int = attrs.field(default=0, metadata=option("rows sent from the block's start on; 0: all", minimum=0))

    def _check(self) -> None:
        super()._check()
        if 0 < self.window < self.block:
            raise refusal(self, f"window {self.window} with block {self.block}", "at least a block, or 0")

    def forwards(self) -> Iterator[Forward]:
        """The forwards of all blocks in order."""
        for step in self.walk(self.static_counts):
            first, rest = step.place.index == 0, self.rest(step.place)
            query = self.canvas if first else Rows(rest.start, min(self.window or rest.count, rest.count))
            head = self.own(step.place) if self.ideal else query
            kind = "warm" if first else "refine"
            yield make_forward(step.place, kind, query, self.canvas.count, head=head, committed=step.committed)
