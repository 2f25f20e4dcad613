"""dKV-Cache's variants that compute the prompt once: Prefill and PD.

Source: the descriptions in the README of horseee/dKV-Cache (49a76fc).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import attrs

from workloads.evidence import PAPER_READ
from workloads.forwards import Forward
from workloads.schedules.base import SteppedSchedule
from workloads.schedules.dkv_decode import DkvDecodeSchedule
from workloads.schedules.record import make_forward

SOURCE = "arXiv 2505.15781; horseee/dKV-Cache 49a76fc README"


@attrs.frozen(kw_only=True)
class DkvPrefillSchedule(SteppedSchedule):
    """LLaDA by blocks; the first forward sends the canvas, all others the generated rows.

    as "implemented": LM head and sampling over the query rows; "ideal": over the block's rows.
    """

    name: ClassVar[str] = "dkv-prefill"
    kind: ClassVar[str] = "caching"
    evidence: ClassVar[str] = PAPER_READ
    source: ClassVar[str] = SOURCE

    def forwards(self) -> Iterator[Forward]:
        """The forwards of all blocks in order."""
        for step in self.walk(self.static_counts):
            first = step.place.index == 0
            query = self.canvas if first else self.response
            head = self.own(step.place) if self.ideal else query
            kind = "warm" if first else "refine"
            yield make_forward(step.place, kind, query, self.canvas.count, head=head, committed=step.committed)


@attrs.frozen(kw_only=True)
class DkvPdSchedule(DkvDecodeSchedule):
    """dKV-Cache-Decode whose refreshes, after the first forward, leave the prompt's K/V as they are."""

    name: ClassVar[str] = "dkv-pd"
    keeps_prompt: ClassVar[bool] = True
    evidence: ClassVar[str] = PAPER_READ
    source: ClassVar[str] = SOURCE
