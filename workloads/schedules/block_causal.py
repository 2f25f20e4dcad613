"""Block diffusion with exact K/V of finished blocks: attention is causal between blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import attrs

from workloads.forwards import Forward
from workloads.schedules.base import CanvasSchedule, Step
from workloads.schedules.commits import Stream, drain
from workloads.schedules.logged import Logged
from workloads.schedules.options import option
from workloads.schedules.record import Place, Rows, make_forward


@attrs.frozen(kw_only=True)
class BlockCausalSchedule(Logged, CanvasSchedule):
    """The prompt's whole blocks are computed once, then block after block is denoised and its K/V are stored.

    Blocks count from the prompt's first row, so that the prompt's tail stands in the first generated block, and
    generation runs to the end of the last block begun: up to block - 1 further tokens are made. A prompt shorter
    than a block is computed with the masks behind it. Every forward has its count, 0 for prompt and store.

    as "ideal": LM head and sampling over the block, none for prompt and store.
    """

    kind: ClassVar[str] = "core"

    prompt: int = attrs.field(metadata=option("prompt rows", minimum=1))
    block: int = attrs.field(default=32, metadata=option("rows of a block", minimum=1))

    @property
    def stores(self) -> bool:
        """Whether K/V of the prompt and of finished blocks are kept."""
        return True

    @property
    def first_block(self) -> int:
        """Number of the first block that has masks."""
        return self.prompt // self.block

    def masked_rows(self, block: int) -> int:
        """Masks of a block, counted from the prompt's first row, before its first forward."""
        return self.block - (self.prompt % self.block if block == self.first_block else 0)

    def forwards(self) -> Iterator[Forward]:
        """The prompt's forward and those of all blocks."""
        stream = self.stream()
        last = -(-(self.prompt + self.gen) // self.block)
        if self.stores:
            stream.take(0)
            yield self.prefill()
        index = int(self.stores)
        for block in range(self.first_block, last):
            masked = self.masked_rows(block)
            stream.start_block()
            for step, committed in enumerate(self.block_counts(stream, masked)):
                place = Place(index, block * self.block, block - self.first_block, step)
                yield self.block_forward(Step(place, masked, committed))
                index, masked = index + 1, masked - committed
        stream.finish()

    def block_counts(self, stream: Stream, masked: int) -> Iterator[int]:
        """Commits of a block's forwards; those of forwards over the finished block, which store it, are 0."""
        yield from drain(stream, masked)
        if self.stores:
            stream.take(0)
            yield 0

    def prefill(self) -> Forward:
        """The forward over the prompt's whole blocks."""
        query = Rows(0, max(self.first_block, 1) * self.block)
        place = Place(0, self.first_block * self.block, 0, 0)
        return make_forward(place, "prefill", query, query.count, head=self._head(place, query, used=False))

    def block_forward(self, step: Step) -> Forward:
        """A forward over the block, which stores its K/V if no row is masked."""
        query = Rows(step.place.block_start, self.block)
        head = self._head(step.place, query, used=step.masked > 0)
        kind = "refine" if step.masked else "store"
        return make_forward(step.place, kind, query, query.start + query.count, head=head, committed=step.committed)

    def _head(self, place: Place, query: Rows, *, used: bool) -> Rows:
        return query if used or not self.ideal else Rows(place.block_start, 0)
