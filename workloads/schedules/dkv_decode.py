"""dKV-Cache-Decode on LLaDA: a token's K/V are cached from the second step after it was committed.

Source: horseee/dKV-Cache 49a76fc generation_utils/llada_dkv_cache_decode.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import ClassVar

import attrs

from workloads.evidence import CODE_RUN
from workloads.forwards import Forward
from workloads.schedules.base import SteppedSchedule
from workloads.schedules.options import option
from workloads.schedules.record import Rows, make_forward


@attrs.frozen(kw_only=True)
class DkvDecodeSchedule(SteppedSchedule):
    """LLaDA by blocks; forwards leave out the rows that were decoded two or more steps ago.

    The first two forwards of a block and every `refresh`-th one send the canvas. Every row is attended to.
    as "implemented": LM head and sampling over the query rows; "ideal": over the block's masked rows.
    """

    name: ClassVar[str] = "dkv-decode"
    kind: ClassVar[str] = "caching"
    keeps_prompt: ClassVar[bool] = False
    """Whether refreshes after the first forward leave the prompt's K/V as they are."""
    evidence: ClassVar[str] = CODE_RUN
    source: ClassVar[str] = "arXiv 2505.15781; horseee/dKV-Cache 49a76fc"

    refresh: int = attrs.field(default=8, metadata=option("steps from one refresh to the next", minimum=1))
    cache: str = attrs.field(default="on", metadata=option("KV cache", choices=("on", "off")))


    def forwards(self) -> Iterator[Forward]:
        """The forwards of all blocks in order."""
        done = list(itertools.accumulate(self.static_counts(self.block), initial=0))  # done[i]: tokens before step i
        for step in self.walk(self.static_counts):
            place, late = step.place, step.place.step >= 2 and step.place.step % self.refresh > 0
            decoded = place.block_start + done[place.step - 1] if self.cache == "on" and late else 0
            kind = "full" if self.cache == "off" else "refine" if decoded else "warm"
            canvas = self.canvas.count
            whole = self.response if self.keeps_prompt and place.index else self.canvas
            query = Rows(0, canvas - decoded) if decoded else whole
            head = Rows(place.block_start, step.masked) if self.ideal else query
            yield make_forward(
                place, kind, query, canvas, head=head, committed=step.committed, scattered=decoded > 0,
                loose_rows=min(self.block, query.count) if decoded else 0,
            )
