"""dInfer on LLaDA: threshold decoding by blocks, with its vicinity cache or a prefix, dual or no cache.

Source: inclusionAI/dInfer fce4e32 decoding/generate_uniform.py (BlockWiseDiffusionLLM,
VicinityCacheDiffusionLLM) with ThresholdParallelDecoder.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import attrs

from workloads.forwards import Forward, summarize
from workloads.schedules.commits import (
    check_commits,
    commit_stream,
    counts_field,
    log_field,
    seed_field,
    source_text,
)
from workloads.schedules.options import check_options, option, option_values, refusal
from workloads.schedules.record import Place, Rows, check_blocks, make_forward


@attrs.frozen(kw_only=True)
class DinferSchedule:
    """Iterations in groups: min(maximum_unroll, masks / expected_tpf) of them run before the block is tested.

    With a cache, a block's first iteration, and with cache_update_freq every such iteration of the run, is a
    whole-canvas forward followed by a smaller one: "prefix" sends the rows from the block's start on, "dual"
    the block, "vicinity" the block with prefix_look rows before and after_look rows behind it. The run's first
    `warmup` iterations of the vicinity cache send the canvas and no more. Every forward commits.

    as "ideal": no forward over a block without masks, LM head and sampling over the block's rows;
    "implemented": both over the query rows.
    """

    name: ClassVar[str] = "dinfer"
    published: ClassVar[None] = None
    unlowerable: ClassVar[None] = None

    prompt: int = attrs.field(metadata=option("prompt rows", minimum=0))
    gen: int = attrs.field(metadata=option("generated rows", minimum=1))
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
    as_: str = attrs.field(
        default="ideal",
        metadata=option("row counts without or with the reference code's waste", choices=("ideal", "implemented")),
    )
    commits: str = log_field()
    counts: str = counts_field()
    seed: int = seed_field()

    def __attrs_post_init__(self) -> None:
        check_options(self)
        check_blocks(self, self.gen, self.block)
        check_commits(self)
        if self.warmup and self.cache != "vicinity":
            raise refusal(self, f"warmup {self.warmup} with cache {self.cache}", "cache vicinity")
        if self.cache_update_freq and self.cache == "none":
            raise refusal(self, f"cache-update-freq {self.cache_update_freq} with cache none", "a cache")

    @property
    def commit_source(self) -> str:
        """Where the commit counts come from."""
        return source_text(self)

    @property
    def params(self) -> dict[str, Any]:
        """The resolved options."""
        return option_values(self)

    def describe(self) -> dict[str, Any]:
        """Name, options and totals."""
        return summarize(self)

    def forwards(self) -> Iterator[Forward]:
        """The forwards of all blocks in order."""
        stream = commit_stream(self)
        index = iteration = 0
        for block in range(self.gen // self.block):
            step, masked, cached = 0, self.block, False
            stream.start_block()
            while masked:
                for _ in range(self._group(masked)):
                    for kind in self._iteration(iteration, cached):
                        if masked == 0 and self.as_ == "ideal":
                            continue
                        cached = cached or kind == "warm"
                        committed = stream.take(masked, least=min(1, masked)).committed
                        place = Place(index, self.prompt + block * self.block, block, step)
                        yield self._forward(place, kind, committed)
                        index, step, masked = index + 1, step + 1, masked - committed
                    iteration += 1
        stream.finish()

    def _group(self, masked: int) -> int:
        return 1 if self.as_ == "ideal" else max(1, min(self.maximum_unroll, masked // self.expected_tpf))

    def _iteration(self, iteration: int, cached: bool) -> tuple[str, ...]:
        """The kinds of an iteration's forwards; `cached`: the block has had its refresh."""
        if self.cache == "none" or iteration < self.warmup:
            return ("full",)
        due = self.cache_update_freq > 0 and iteration % self.cache_update_freq == 0
        return ("refine",) if cached and not due else ("warm", "refine")

    def _forward(self, place: Place, kind: str, committed: int) -> Forward:
        canvas = self.prompt + self.gen
        own = Rows(place.block_start, self.block)
        query = self._window(place.block_start) if kind == "refine" else Rows(0, canvas)
        head = own if self.as_ == "ideal" else query
        return make_forward(place, kind, query, canvas, head=head, committed=committed)

    def _window(self, start: int) -> Rows:
        canvas, end = self.prompt + self.gen, start + self.block
        if self.cache == "prefix":
            return Rows(start, canvas - start)
        if self.cache == "vicinity":
            start, end = max(start - self.prefix_look, 0), min(end + self.after_look, canvas)
        return Rows(start, end - start)
