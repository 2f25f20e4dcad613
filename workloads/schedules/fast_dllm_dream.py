"""Fast-dLLM on Dream: blocks with a prefix or dual cache, entropy steps or a confidence threshold.

Source: NVlabs/Fast-dLLM 24cc59e dream/model/generation_utils_block.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import attrs

from workloads.forwards import Forward, summarize
from workloads.schedules.commits import (
    Stream,
    check_commits,
    commit_stream,
    counts_field,
    log_field,
    seed_field,
    source_text,
)
from workloads.schedules.dream_time import share_of, time_steps
from workloads.schedules.options import check_options, option, option_values, refusal
from workloads.schedules.record import Place, Rows, check_blocks, make_forward


@attrs.frozen(kw_only=True)
class FastDllmDreamSchedule:
    """A whole-canvas forward at the start of a block commits its first row; smaller forwards do the rest.

    alg "entropy" (also what the reference does for any other named score): steps / blocks - 1 further forwards
    with Dream's time steps. With one step a block the reference wastes a forward and returns masks, which only
    as "implemented" accepts. alg "confidence_threshold": forwards until the block is empty.

    as "implemented": LM head over the query rows, and sampling of all of them in the first forward, of the
    masked rows (prefix cache and threshold: to the end of the canvas) in the others. as "ideal": both over one
    row in the first forward and the block's masked rows in the others.
    """

    name: ClassVar[str] = "fast-dllm-dream"
    published: ClassVar[None] = None
    unlowerable: ClassVar[str] = "only the masked rows are sampled, and logits are shifted by a row"

    prompt: int = attrs.field(metadata=option("prompt rows", minimum=1))
    gen: int = attrs.field(metadata=option("generated rows", minimum=1))
    block: int = attrs.field(default=32, metadata=option("rows of a block", minimum=2))
    steps: int = attrs.field(
        default=attrs.Factory(lambda self: self.gen, takes_self=True),
        metadata=option("denoising steps over all blocks; default gen", minimum=1),
    )
    cache: str = attrs.field(default="dual", metadata=option("KV cache", choices=("prefix", "dual")))
    alg: str = attrs.field(
        default="entropy", metadata=option("how rows are chosen", choices=("entropy", "confidence_threshold"))
    )
    eps: float = attrs.field(default=1e-3, metadata=option("last time step"))
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
        if not 0 < self.eps < 1:
            raise refusal(self, f"eps is {self.eps}", "a number between 0 and 1")
        if self.alg == "confidence_threshold":
            check_commits(self)
        elif self.commits or self.counts:
            raise refusal(self, "commit counts given with alg entropy, which fixes them", "no commit counts")
        elif self.as_ == "ideal" and self._block_steps == 1:
            raise refusal(self, "one step a block, which leaves masks", "more steps, or as implemented")

    @property
    def commit_source(self) -> str | None:
        """Where the commit counts come from."""
        return None if self.alg == "entropy" else source_text(self)

    @property
    def params(self) -> dict[str, Any]:
        """The resolved options."""
        return option_values(self)

    def describe(self) -> dict[str, Any]:
        """Name, options and totals."""
        return summarize(self)

    @property
    def _block_steps(self) -> int:
        return self.steps // (self.gen // self.block)

    def forwards(self) -> Iterator[Forward]:
        """The forwards of all blocks in order."""
        stream = commit_stream(self) if self.alg == "confidence_threshold" else None
        index = 0
        for block in range(self.gen // self.block):
            masked = self.block
            counts = self._entropy_counts() if stream is None else self._threshold_counts(stream)
            for step, committed in enumerate(counts):
                place = Place(index, self.prompt + block * self.block, block, step)
                yield self._forward(place, masked, committed)
                index, masked = index + 1, masked - committed
        if stream is not None:
            stream.finish()

    def _entropy_counts(self) -> Iterator[int]:
        steps, masked = self._block_steps, self.block - 1
        times = time_steps(steps, self.eps)
        yield 1
        if steps == 1:
            yield 0
        for step in range(1, steps):
            committed = masked if step == steps - 1 else share_of(masked, times[step], times[step + 1])
            yield committed
            masked -= committed

    def _threshold_counts(self, stream: Stream) -> Iterator[int]:
        yield stream.take(self.block, least=1, most=1).committed
        masked = self.block - 1
        while masked:
            committed = stream.take(masked, least=1).committed
            yield committed
            masked -= committed

    def _forward(self, place: Place, masked: int, committed: int) -> Forward:
        canvas = self.prompt + self.gen
        rest = canvas - place.block_start
        if place.step == 0:
            kind, query = "warm", Rows(0, canvas)
        else:
            kind, query = "refine", Rows(place.block_start, self.block if self.cache == "dual" else rest)
        if self.as_ == "implemented":
            head, sampled = query, self._sampled(place, masked, rest)
        else:
            sampled = 1 if place.step == 0 else masked
            head = Rows(place.block_start - (place.step == 0), sampled)
        return make_forward(place, kind, query, canvas, head=head, sampled=sampled, committed=committed)

    def _sampled(self, place: Place, masked: int, rest: int) -> int:
        if place.step == 0:
            return self.prompt + self.gen
        if self.alg == "entropy":
            return 0 if self._block_steps == 1 else masked
        return masked + (rest - self.block if self.cache == "prefix" else 0)
