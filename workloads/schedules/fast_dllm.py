"""Fast-dLLM on LLaDA: blocks with a KV cache, tokens committed by confidence threshold or factor.

Sources: NVlabs/Fast-dLLM 24cc59e llada/generate.py ("first"); its later sampler as in AICrossSim/PLENA_Software
2dc61b2 quant_eval/eval/llada/llada_generation.py ("later", which added the factor rule).
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, ClassVar

import attrs

from workloads.forwards import Forward, summarize
from workloads.schedules.commits import (
    Profile,
    Stream,
    check_commits,
    commit_stream,
    counts_field,
    log_field,
    seed_field,
    source_text,
)
from workloads.schedules.counts import transfer_counts
from workloads.schedules.options import check_options, option, option_values, refusal
from workloads.schedules.record import Place, Rows, check_blocks, make_forward

# Tokens per forward by threshold: Fast-dLLM paper, LLaDA-8B-Instruct, GSM8K 5-shot, 256 tokens, block 32.
MEASURED = {0.5: "7.01", 0.6: "6.17", 0.7: "5.12", 0.8: "4.24", 0.9: "3.25", 1.0: "1.00"}
MEASURED_CACHED = {0.9: "3.01"}
PAPER = "Fast-dLLM paper, LLaDA-8B-Instruct, GSM8K 5-shot, 256 tokens"


@attrs.frozen(kw_only=True)
class FastDllmSchedule:
    """Threshold or factor decoding by blocks without cache, with a prefix cache or with the dual cache.

    Each forward commits at least one token of its block, and what else passes; `steps` matters only to static
    counts and to the later version's dual cache, which gives up on a block after steps / blocks forwards.
    The first version refines a cached block at least once, even when it is empty.

    as "ideal": no forward without a mask, no block given up, LM head and sampling over the block's rows.
    """

    name: ClassVar[str] = "fast-dllm"
    unlowerable: ClassVar[None] = None

    prompt: int = attrs.field(metadata=option("prompt rows", minimum=0))
    gen: int = attrs.field(metadata=option("generated rows", minimum=1))
    block: int = attrs.field(default=32, metadata=option("rows of a block", minimum=1))
    steps: int = attrs.field(
        default=attrs.Factory(lambda self: self.gen, takes_self=True),
        metadata=option("denoising steps over all blocks; default gen", minimum=1),
    )
    cache: str = attrs.field(default="dual", metadata=option("KV cache", choices=("none", "prefix", "dual")))
    select: str = attrs.field(
        default="threshold", metadata=option("which rows commit", choices=("threshold", "factor", "static"))
    )
    threshold: float = attrs.field(default=0.9, metadata=option("least confidence to commit"))
    version: str = attrs.field(default="later", metadata=option("reference code", choices=("first", "later")))
    as_: str = attrs.field(
        default="ideal",
        metadata=option("row counts without or with the reference code's waste", choices=("ideal", "implemented")),
    )
    commits: str = log_field()
    counts: str = counts_field()
    seed: int = seed_field()

    def __attrs_post_init__(self) -> None:
        check_options(self)
        check_blocks(self, self.gen, self.block, self.steps)
        if self.select == "factor" and self.version == "first":
            raise refusal(self, "select factor with the first version, which lacks it", "version later")
        if self.select != "static":
            check_commits(self)
        elif self.commits or self.counts:
            raise refusal(self, "commit counts given with select static, which fixes them", "threshold or factor")
        elif self.as_ == "implemented" and self.version == "first" and self.cache != "none" and self._limit == 1:
            found = f"one step a block with cache {self.cache}, which the first version cannot run"
            raise refusal(self, found, "more steps, version later, or as ideal")

    @property
    def published(self) -> Profile | None:
        """The paper's tokens per forward at this threshold."""
        if self.select != "threshold":
            return None
        measured = MEASURED if self.cache == "none" else {**MEASURED, **MEASURED_CACHED}
        if self.threshold not in measured:
            return None
        cached = self.cache != "none" and self.threshold in MEASURED_CACHED
        return Profile(Fraction(measured[self.threshold]), f"{PAPER}, {'with' if cached else 'without'} cache")

    @property
    def commit_source(self) -> str | None:
        """Where the commit counts come from."""
        return None if self.select == "static" else source_text(self)

    @property
    def params(self) -> dict[str, Any]:
        """The resolved options."""
        return option_values(self)

    def describe(self) -> dict[str, Any]:
        """Name, options and totals."""
        return summarize(self)

    @property
    def _limit(self) -> int:
        return self.steps // (self.gen // self.block)

    def forwards(self) -> Iterator[Forward]:
        """The forwards of all blocks in order."""
        stream = None if self.select == "static" else commit_stream(self)
        index = earlier = 0  # earlier: masks left behind in blocks given up
        for block in range(self.gen // self.block):
            step, masked = 0, self.block
            if stream is not None:
                stream.start_block()
            while self._goes_on(step, masked):
                behind = earlier if step == 0 or self.cache == "none" else 0
                total, old = self._take(stream, step, masked, behind)
                masked, earlier = masked - (total - old), earlier - old
                yield self._forward(Place(index, self.prompt + block * self.block, block, step), total)
                index, step = index + 1, step + 1
            earlier += masked
        if stream is not None:
            stream.finish()

    def _goes_on(self, step: int, masked: int) -> bool:
        if step == 0 or self.as_ == "ideal" or self.cache == "none":
            return masked > 0
        if self.version == "first":
            return masked > 0 or step == 1
        return masked > 0 and (self.cache == "prefix" or step < self._limit)

    def _take(self, stream: Stream | None, step: int, masked: int, behind: int) -> tuple[int, int]:
        """(tokens committed, how many of them in earlier blocks)."""
        if stream is None:
            split = transfer_counts(self.block, self._limit)
            return min(split[step], masked) if step < len(split) else 0, 0
        candidates = masked + behind
        count = stream.take(candidates, least=min(1, candidates))
        if count.earlier > behind or count.committed - count.earlier > masked:
            found = f"{count.committed} commits, {count.earlier} of them in earlier blocks"
            raise refusal(self, found, f"at most {masked} in this block and {behind} in earlier ones")
        return count.committed, count.earlier

    def _forward(self, place: Place, committed: int) -> Forward:
        canvas = self.prompt + self.gen
        own = Rows(place.block_start, self.block)
        if self.cache == "none" or place.step == 0:
            kind, query = "full" if self.cache == "none" else "warm", Rows(0, canvas)
        else:
            rest = Rows(place.block_start, canvas - place.block_start)
            kind, query = "refine", own if self.cache == "dual" else rest
        head = own if self.as_ == "ideal" else query
        return make_forward(place, kind, query, canvas, head=head, committed=committed)
