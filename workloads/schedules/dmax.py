"""DMax on LLaDA2: every row of the block is predicted again in each forward, and enters as a mixture of embeddings.

Source: czg1225/DMax 82bc29e.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import ClassVar

import attrs

from workloads.evidence import CODE_READ
from workloads.forwards import Forward
from workloads.schedules.base import Step
from workloads.schedules.block_causal import BlockCausalSchedule
from workloads.schedules.commits import Profile, Stream
from workloads.schedules.options import option
from workloads.schedules.record import Rows, make_forward

MEASURED = Profile(Fraction("5.47"), "DMax, LLaDA2.0-mini, GSM8K")


@attrs.frozen(kw_only=True)
class DmaxSchedule(BlockCausalSchedule):
    """Block-causal decoding that commits from the left up to the first row below the threshold.

    A forward may commit nothing and only change rows, also after the last mask, until nothing changes; a block takes
    at most as many forwards as it has rows. (In a log, zeros behind a block's last token count for that block.) From
    its second forward on, its rows enter as sums of top_k embeddings and the mask's. A finished block is not
    stored on its own: the next block's first forward sends it along.
    """

    name: ClassVar[str] = "dmax"
    kind: ClassVar[str] = "steps"
    evidence: ClassVar[str] = CODE_READ
    source: ClassVar[str] = "arXiv 2604.08302; czg1225/DMax 82bc29e"
    unlowerable: ClassVar[str | None] = "attention is causal by blocks, and mixtures of embeddings have no program"

    threshold: float = attrs.field(default=0.5, metadata=option("least confidence to commit"))
    top_k: int = attrs.field(default=1, metadata=option("predicted embeddings of a mixture", minimum=1))

    @property
    def published(self) -> Profile | None:
        """The paper's tokens per forward at its threshold and block."""
        return MEASURED if (self.threshold, self.block) == (0.5, 32) else None

    def block_counts(self, stream: Stream, masked: int) -> Iterator[int]:
        """Commits of a block's forwards, which may be 0 before its last one."""
        drawn = not (self.commits or self.counts)
        for left in range(self.block, 0, -1):
            least = masked if left == 1 else int(drawn)
            committed = stream.take(masked, least=least).committed
            yield committed
            masked -= committed
            if masked == 0:
                for _ in range(stream.idle(0, left - 1)):
                    yield stream.take(0).committed
                return

    def block_forward(self, step: Step) -> Forward:
        """A forward over the block, the first one over the block before it as well."""
        start, first = step.place.block_start, step.place.step == 0
        before = self.block if first and step.place.block_index else 0
        query, own = Rows(start - before, self.block + before), Rows(start, self.block)
        return make_forward(
            step.place,
            "refine",
            query,
            start + self.block,
            head=own if self.ideal else query,
            committed=step.committed,
            soft_rows=0 if first else self.block,
            soft_terms=0 if first else self.top_k + 1,
        )
