"""dKV-Cache-Greedy on LLaDA: only rows decoded just now or next, and their neighbours, are computed again.

Source: horseee/dKV-Cache 49a76fc generation_utils/llada_dkv_cache_greedy.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import attrs

from workloads.evidence import CODE_RUN
from workloads.forwards import Forward
from workloads.schedules.base import SteppedSchedule
from workloads.schedules.options import option
from workloads.schedules.record import Place, Rows, make_forward


@attrs.frozen(kw_only=True)
class DkvGreedySchedule(SteppedSchedule):
    """LLaDA by blocks in a random order known ahead (the reference refuses any other).

    Every `refresh`-th forward of a block sends the canvas. The others send the rows committed in the step
    before, those to commit now, and up to `window` masked neighbours of each of the latter. Which rows are
    neighbours depends on the order; their number is taken to end only where masked rows run out.
    as "implemented": LM head and sampling over the query rows; "ideal": over the rows to commit.
    """

    name: ClassVar[str] = "dkv-greedy"
    kind: ClassVar[str] = "caching"
    evidence: ClassVar[str] = CODE_RUN
    source: ClassVar[str] = "arXiv 2505.15781; horseee/dKV-Cache 49a76fc"

    refresh: int = attrs.field(default=2, metadata=option("steps from one refresh to the next", minimum=1))
    window: int = attrs.field(default=4, metadata=option("masked neighbours of a row to commit", minimum=0))


    def forwards(self) -> Iterator[Forward]:
        """The forwards of all blocks in order."""
        masked, before = self.gen, 0
        for step in self.walk(self.static_counts):
            neighbours = min(self.window * step.committed, masked - step.committed)
            whole = step.place.step % self.refresh == 0
            yield self._forward(step.place, None if whole else before + step.committed + neighbours, step.committed)
            masked, before = masked - step.committed, step.committed

    def _forward(self, place: Place, rows: int | None, committed: int) -> Forward:
        canvas = self.canvas.count
        query = Rows(0, canvas if rows is None else rows)
        head = query if self.as_ == "implemented" else Rows(place.block_start, committed)
        kind = "warm" if rows is None else "refine"
        return make_forward(place, kind, query, canvas, head=head, committed=committed, scattered=rows is not None)
