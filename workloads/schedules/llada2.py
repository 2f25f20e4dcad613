"""LLaDA2.0 and LLaDA2.1: block-causal threshold decoding, the latter with editing of tokens already committed.

Sources: LLaDA2MoeModelLM.generate as copied in ZHZisZZ/dllm 9a2c4ee dllm/pipelines/llada2/sampler.py (2.0), and as
transcribed in public copies (2.1); revisiting blocks: the LLaDA2.1 report.
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
from workloads.schedules.counts import transfer_counts
from workloads.schedules.dinfer_block import measured
from workloads.schedules.options import option, refusal
from workloads.schedules.record import Rows, make_forward

SPEEDY = Fraction("5.93")
"""Tokens per forward of LLaDA2.1-flash in speedy mode, over the report's benchmarks."""


@attrs.frozen(kw_only=True)
class PublishedBlockSchedule(BlockCausalSchedule):
    """cache "on" keeps finished blocks, as inference engines do. The published samplers are "off".

    They send everything up to the block's end each time, and need no forward that only stores.
    """

    evidence: ClassVar[str] = CODE_RUN

    cache: str = attrs.field(default="on", metadata=option("KV cache", choices=("on", "off")))

    @property
    def stores(self) -> bool:
        """Whether there is a cache."""
        return self.cache == "on"

    def block_forward(self, step: Step) -> Forward:
        """A forward over the block or, without cache, over everything up to its end."""
        if self.stores:
            return super().block_forward(step)
        own = Rows(step.place.block_start, self.block)
        query = Rows(0, own.start + own.count)
        head = own if self.ideal else query
        return make_forward(
            step.place, "full", query, query.count, head=head, sampled=own.count, committed=step.committed
        )


@attrs.frozen(kw_only=True)
class Llada2Schedule(PublishedBlockSchedule):
    """A forward commits all rows of the block above the threshold, or if those are fewer, its share of the steps."""

    name: ClassVar[str] = "llada2"
    source: ClassVar[str] = "arXiv 2512.15745; ZHZisZZ/dllm 9a2c4ee"

    threshold: float = attrs.field(default=0.95, metadata=option("least confidence to commit"))
    block_steps: int = attrs.field(default=32, metadata=option("forwards of a block at most", minimum=1))

    @property
    def published(self) -> Profile | None:
        """The report's tokens per forward at this threshold and block."""
        return measured(self.threshold, self.block)

    def block_counts(self, stream: Stream, masked: int) -> Iterator[int]:
        """At least the share of each step, of which a whole block's tokens would need all."""
        for share in transfer_counts(self.block, min(self.block_steps, self.gen)):
            if masked == 0:
                break
            committed = stream.take(masked, least=min(share, masked)).committed
            yield committed
            masked -= committed
        if self.stores:
            stream.take(0)
            yield 0


@attrs.frozen(kw_only=True)
class Llada21Schedule(PublishedBlockSchedule):
    """A forward also replaces committed tokens of the block whose new prediction passes a second threshold.

    So all rows of the block are sampled every time, and a block is over only once a forward changes nothing, which
    thereby stores it: 1 to `post_forwards` forwards with the count 0 follow the one that commits the last mask; 1
    where counts are drawn. With the cache `revisit` blocks before the current one are sent as well, where they may
    be edited (multi-block editing). The thresholds are those of the quality mode; 0.5 and 0 are the speedy mode's.
    """

    name: ClassVar[str] = "llada2.1"
    source: ClassVar[str] = "arXiv 2602.08676; public copies of LLaDA2.1-mini's generate"

    threshold: float = attrs.field(default=0.7, metadata=option("least confidence to commit"))
    edit_threshold: float = attrs.field(default=0.5, metadata=option("least confidence to replace a token"))
    post_forwards: int = attrs.field(default=16, metadata=option("editing forwards after the last mask", minimum=1))
    revisit: int = attrs.field(default=0, metadata=option("earlier blocks that are sent and edited too", minimum=0))

    def _check(self) -> None:
        super()._check()
        if self.revisit and not self.stores:
            raise refusal(self, f"revisit {self.revisit} with cache off, which sends every block", "cache on")

    @property
    def published(self) -> Profile | None:
        """The report's tokens per forward in speedy mode, less the one forward a block that commits nothing."""
        if (self.threshold, self.edit_threshold, self.block) != (0.5, 0.0, 32):
            return None
        forwards = self.block / SPEEDY - 1
        return Profile(self.block / forwards, "LLaDA2.1 report, flash model, 5.93 with a last forward a block")

    def block_counts(self, stream: Stream, masked: int) -> Iterator[int]:
        """Commits of a block's forwards, which are 0 for those that only edit."""
        yield from drain(stream, masked)
        for _ in range(stream.idle(1, self.post_forwards)):
            yield stream.take(0).committed

    def block_forward(self, step: Step) -> Forward:
        """A forward over the block and the blocks that are revisited, all of whose rows are sampled."""
        if not self.stores:
            return super().block_forward(step)
        start = step.place.block_start
        first = max(start - self.revisit * self.block, 0)
        query = Rows(first, start + self.block - first)
        return make_forward(step.place, "refine", query, start + self.block, committed=step.committed)
