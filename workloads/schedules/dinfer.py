"""dInfer on LLaDA: threshold decoding by blocks, with its vicinity cache or a prefix, dual or no cache.

Source: inclusionAI/dInfer fce4e32 decoding/generate_uniform.py (BlockWiseDiffusionLLM,
VicinityCacheDiffusionLLM) with ThresholdParallelDecoder.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import attrs

from workloads.evidence import CODE_RUN
from workloads.forwards import Forward
from workloads.schedules.base import BlockSchedule
from workloads.schedules.logged import Logged
from workloads.schedules.options import option, refusal
from workloads.schedules.record import Place, Rows, make_forward


@attrs.frozen(kw_only=True)
class DinferSchedule(Logged, BlockSchedule):
    """Iterations in groups: min(maximum_unroll, masks / expected_tpf) of them run before the block is tested.

    With a cache, a block's first iteration, and with cache_update_freq every such iteration of the run, is a
    whole-canvas forward followed by a smaller one: "prefix" sends the rows from the block's start on, "dual"
    the block, "vicinity" the block with prefix_look rows before and after_look rows behind it. The run's first
    `warmup` iterations of the vicinity cache send the canvas and no more. Every forward commits.

    as "ideal": no forward over a block without masks, LM head and sampling over the block's rows;
    "implemented": both over the query rows.
    """

    name: ClassVar[str] = "dinfer"
    kind: ClassVar[str] = "caching"
    evidence: ClassVar[str] = CODE_RUN
    source: ClassVar[str] = "arXiv 2510.08666; inclusionAI/dInfer fce4e32"

    block: int = attrs.field(default=64, metadata=option("rows of a block", minimum=1))
    cache: str = attrs.field(
        default="vicinity", metadata=option("KV cache", choices=("none", "prefix", "dual", "vicinity"))
    )
    prefix_look: int = attrs.field(default=16, metadata=option("rows before the block (vicinity)", minimum=0))
    after_look: int = attrs.field(default=16, metadata=option("rows behind the block (vicinity)", minimum=0))
    warmup: int = attrs.field(default=0, metadata=option("first iterations without cache (vicinity)", minimum=0))
    cache_update_freq: int = attrs.field(
        default=0, metadata=option("iterations between cache refreshes; 0: at block starts only", minimum=0)
    )
    maximum_unroll: int = attrs.field(default=4, metadata=option("iterations of a group at most", minimum=1))
    expected_tpf: int = attrs.field(default=8, metadata=option("masks that a group's iteration counts for", minimum=1))

    def _check(self) -> None:
        super()._check()
        if self.warmup and self.cache != "vicinity":
            raise refusal(self, f"warmup {self.warmup} with cache {self.cache}", "cache vicinity")
        if self.cache_update_freq and self.cache == "none":
            raise refusal(self, f"cache-update-freq {self.cache_update_freq} with cache none", "a cache")

    def forwards(self) -> Iterator[Forward]:
        """The forwards of all blocks in order."""
        stream = self.stream()
        index = iteration = 0
        for block in range(self.blocks):
            step, masked, cached = 0, self.block, False
            stream.start_block()
            while masked:
                for _ in range(self._group(masked)):
                    for kind in self._iteration(iteration, cached):
                        if masked == 0 and self.ideal:
                            continue
                        cached = cached or kind == "warm"
                        committed = stream.take(masked, least=min(1, masked)).committed
                        place = Place(index, self.prompt + block * self.block, block, step)
                        yield self._forward(place, kind, committed)
                        index, step, masked = index + 1, step + 1, masked - committed
                    iteration += 1
        stream.finish()

    def _group(self, masked: int) -> int:
        return 1 if self.ideal else max(1, min(self.maximum_unroll, masked // self.expected_tpf))

    def _iteration(self, iteration: int, cached: bool) -> tuple[str, ...]:
        """The kinds of an iteration's forwards; `cached`: the block has had its refresh."""
        if self.cache == "none" or iteration < self.warmup:
            return ("full",)
        due = self.cache_update_freq > 0 and iteration % self.cache_update_freq == 0
        return ("refine",) if cached and not due else ("warm", "refine")

    def _forward(self, place: Place, kind: str, committed: int) -> Forward:
        query = self._window(place) if kind == "refine" else self.canvas
        head = self.own(place) if self.ideal else query
        return make_forward(place, kind, query, self.canvas.count, head=head, committed=committed)

    def _window(self, place: Place) -> Rows:
        if self.cache == "prefix":
            return self.rest(place)
        start, end = place.block_start, place.block_start + self.block
        if self.cache == "vicinity":
            start, end = max(start - self.prefix_look, 0), min(end + self.after_look, self.canvas.count)
        return Rows(start, end - start)
