"""DMax on LLaDA2: every row of the block is predicted again in each forward, and enters as a mixture of embeddings.

Source: czg1225/DMax 82bc29e dInfer/python/dinfer/decoding/generate_uniform.py (decode_uniform).
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import ClassVar

import attrs

from workloads.evidence import CODE_RUN
from workloads.forwards import Forward
from workloads.schedules.base import Step
from workloads.schedules.block_causal import BlockCausalSchedule
from workloads.schedules.commits import Profile, Stream, drain
from workloads.schedules.options import option
from workloads.schedules.record import Rows, make_forward

MEASURED = Profile(Fraction("5.47"), "DMax, LLaDA2.0-mini, GSM8K")


@attrs.frozen(kw_only=True)
class DmaxSchedule(BlockCausalSchedule):
    """Block-causal decoding that commits from the left up to the first row below the threshold, at least one row.

    Every row of the block is predicted each time, also those already committed, which enter as sums of the
    embeddings of their top_k predictions and the mask's. A block goes on, with the count 0, behind its last mask
    until its rows are certain or nothing changes, for as many forwards as it has rows at most; drawn counts have no
    such forwards. A finished block is not stored on its own: the next block's first forward sends it along.
    """

    name: ClassVar[str] = "dmax"
    kind: ClassVar[str] = "steps"
    evidence: ClassVar[str] = CODE_RUN
    source: ClassVar[str] = "arXiv 2604.08302; czg1225/DMax 82bc29e"

    threshold: float = attrs.field(default=0.5, metadata=option("least confidence to commit"))
    top_k: int = attrs.field(default=1, metadata=option("predicted embeddings of a mixture", minimum=1))

    @property
    def published(self) -> Profile | None:
        """The paper's tokens per forward at its threshold and block."""
        return MEASURED if (self.threshold, self.block) == (0.5, 32) else None

    def block_counts(self, stream: Stream, masked: int) -> Iterator[int]:
        """Commits of a block's forwards, 0 behind its last mask."""
        forwards = 0
        for committed in drain(stream, masked):
            yield committed
            forwards += 1
        for _ in range(stream.idle(0, self.block - forwards)):
            yield stream.take(0).committed

    def block_forward(self, step: Step) -> Forward:
        """A forward over the block, the first one over the block before it as well."""
        start, first = step.place.block_start, step.place.step == 0
        before = self.block if first and step.place.block_index else 0
        soft = self.masked_rows(start // self.block) - step.masked  # committed in this block before
        query, own = Rows(start - before, self.block + before), Rows(start, self.block)
        return make_forward(
            step.place,
            "refine",
            query,
            start + self.block,
            head=own if self.ideal else query,
            committed=step.committed,
            sampled=self.block,
            causal_rows=self.block if before else 0,
            soft_rows=soft,
            soft_terms=self.top_k + 1 if soft else 0,
        )
