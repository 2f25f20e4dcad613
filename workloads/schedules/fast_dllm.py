"""Fast-dLLM on LLaDA: blocks with a KV cache, tokens committed by confidence threshold or factor.

Sources: NVlabs/Fast-dLLM 24cc59e llada/generate.py ("first"); its later sampler as in AICrossSim/PLENA_Software
2dc61b2 quant_eval/eval/llada/llada_generation.py ("later", which added the factor rule).
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import ClassVar

import attrs

from workloads.evidence import CODE_RUN
from workloads.forwards import Forward
from workloads.schedules.base import SteppedSchedule
from workloads.schedules.commits import Profile, Stream
from workloads.schedules.logged import Logged
from workloads.schedules.options import option, refusal
from workloads.schedules.record import Place, make_forward

# Tokens per forward by threshold: Fast-dLLM paper, LLaDA-8B-Instruct, GSM8K 5-shot, 256 tokens, block 32.
MEASURED = {0.5: "7.01", 0.6: "6.17", 0.7: "5.12", 0.8: "4.24", 0.9: "3.25", 1.0: "1.00"}
MEASURED_CACHED = {0.9: "3.01"}
PAPER = "Fast-dLLM paper, LLaDA-8B-Instruct, GSM8K 5-shot, 256 tokens"


@attrs.frozen(kw_only=True)
class FastDllmSchedule(Logged, SteppedSchedule):
    """Threshold or factor decoding by blocks without cache, with a prefix cache or with the dual cache.

    Each forward commits at least one token of its block, and what else passes; `steps` matters only to static
    counts and to the later version's dual cache, which gives up on a block after steps / blocks forwards.
    The first version refines a cached block at least once, even when it is empty.

    as "ideal": no forward without a mask, no block given up, LM head and sampling over the block's rows.
    """

    name: ClassVar[str] = "fast-dllm"
    kind: ClassVar[str] = "caching"
    evidence: ClassVar[str] = CODE_RUN
    source: ClassVar[str] = "arXiv 2505.22618; NVlabs/Fast-dLLM 24cc59e; AICrossSim/PLENA_Software 2dc61b2"

    cache: str = attrs.field(default="dual", metadata=option("KV cache", choices=("none", "prefix", "dual")))
    select: str = attrs.field(
        default="threshold", metadata=option("which rows commit", choices=("threshold", "factor", "static"))
    )
    threshold: float = attrs.field(default=0.9, metadata=option("least confidence to commit"))
    version: str = attrs.field(default="later", metadata=option("reference code", choices=("first", "later")))

    def _check(self) -> None:
        super()._check()
        if self.select == "factor" and self.version == "first":
            raise refusal(self, "select factor with the first version, which lacks it", "version later")
        first = self.version == "first" and not self.ideal
        if self.fixed_by and first and self.cache != "none" and self.block_steps == 1:
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
    def fixed_by(self) -> str:
        """Static counts need no data."""
        return "select static" if self.select == "static" else ""

    def forwards(self) -> Iterator[Forward]:
        """The forwards of all blocks in order."""
        stream = None if self.fixed_by else self.stream()
        index = earlier = 0  # earlier: masks left behind in blocks given up
        for block in range(self.blocks):
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
        if step == 0 or self.ideal or self.cache == "none":
            return masked > 0
        if self.version == "first":
            return masked > 0 or step == 1
        return masked > 0 and (self.cache == "prefix" or step < self.block_steps)

    def _take(self, stream: Stream | None, step: int, masked: int, behind: int) -> tuple[int, int]:
        """(tokens committed, how many of them in earlier blocks)."""
        if stream is None:
            split = self.static_counts(self.block)
            return min(split[step], masked) if step < len(split) else 0, 0
        candidates = masked + behind
        count = stream.take(candidates, least=min(1, candidates))
        if count.earlier > behind or count.committed - count.earlier > masked:
            found = f"{count.committed} commits, {count.earlier} of them in earlier blocks"
            raise refusal(self, found, f"at most {masked} in this block and {behind} in earlier ones")
        return count.committed, count.earlier

    def _forward(self, place: Place, committed: int) -> Forward:
        own, canvas = self.own(place), self.canvas
        if self.cache == "none" or place.step == 0:
            kind, query = "full" if self.cache == "none" else "warm", canvas
        else:
            kind, query = "refine", own if self.cache == "dual" else self.rest(place)
        head = own if self.ideal else query
        return make_forward(place, kind, query, canvas.count, head=head, committed=committed)
