"""Fast-dLLM on Dream: blocks with a prefix or dual cache, entropy steps or a confidence threshold.

Source: NVlabs/Fast-dLLM 24cc59e dream/model/generation_utils_block.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import attrs

from workloads.evidence import CODE_RUN
from workloads.forwards import Forward
from workloads.schedules.base import SteppedSchedule
from workloads.schedules.commits import Stream, drain
from workloads.schedules.dream_time import share_of, time_steps
from workloads.schedules.logged import Logged
from workloads.schedules.options import option, refusal
from workloads.schedules.record import Place, Rows, make_forward


@attrs.frozen(kw_only=True)
class FastDllmDreamSchedule(Logged, SteppedSchedule):
    """A whole-canvas forward at the start of a block commits its first row; smaller forwards do the rest.

    alg "entropy" (also what the reference does for any other named score): steps / blocks - 1 further forwards
    with Dream's time steps. With one step a block the reference wastes a forward and returns masks, which only
    as "implemented" accepts. alg "confidence_threshold": forwards until the block is empty.

    as "implemented": LM head over the query rows, and sampling of all of them in the first forward, of the
    masked rows (prefix cache and threshold: to the end of the canvas) in the others. as "ideal": both over one
    row in the first forward and the block's masked rows in the others.
    """

    name: ClassVar[str] = "fast-dllm-dream"
    kind: ClassVar[str] = "caching"
    evidence: ClassVar[str] = CODE_RUN
    source: ClassVar[str] = "arXiv 2505.22618; NVlabs/Fast-dLLM 24cc59e"

    prompt: int = attrs.field(metadata=option("prompt rows", minimum=1))
    block: int = attrs.field(default=32, metadata=option("rows of a block", minimum=2))
    cache: str = attrs.field(default="dual", metadata=option("KV cache", choices=("prefix", "dual")))
    alg: str = attrs.field(
        default="entropy", metadata=option("how rows are chosen", choices=("entropy", "confidence_threshold"))
    )
    eps: float = attrs.field(default=1e-3, metadata=option("last time step"))

    def _check(self) -> None:
        super()._check()
        if not 0 < self.eps < 1:
            raise refusal(self, f"eps is {self.eps}", "a number between 0 and 1")
        if self.fixed_by and self.ideal and self.block_steps == 1:
            raise refusal(self, "one step a block, which leaves masks", "more steps, or as implemented")

    @property
    def fixed_by(self) -> str:
        """Time steps need no data."""
        return "alg entropy" if self.alg == "entropy" else ""

    def forwards(self) -> Iterator[Forward]:
        """The forwards of all blocks in order."""
        stream = None if self.fixed_by else self.stream()
        for step in self.walk(lambda _: self._entropy_counts() if stream is None else self._threshold_counts(stream)):
            yield self._forward(step.place, step.masked, step.committed)
        if stream is not None:
            stream.finish()

    def _entropy_counts(self) -> Iterator[int]:
        steps, masked = self.block_steps, self.block - 1
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
        yield from drain(stream, self.block - 1)

    def _forward(self, place: Place, masked: int, committed: int) -> Forward:
        canvas = self.canvas
        if place.step == 0:
            kind, query = "warm", canvas
        else:
            kind, query = "refine", self.own(place) if self.cache == "dual" else self.rest(place)
        if not self.ideal:
            head, sampled = query, self._sampled(place, masked)
        else:
            sampled = 1 if place.step == 0 else masked
            head = Rows(place.block_start - (place.step == 0), sampled)
        return make_forward(
            place, kind, query, canvas.count, head=head, sampled=sampled, committed=committed,
            score="entropy" if self.alg == "entropy" else "confidence", head_scattered=True,
        )

    def _sampled(self, place: Place, masked: int) -> int:
        if place.step == 0:
            return self.canvas.count
        if self.alg == "entropy":
            return 0 if self.block_steps == 1 else masked
        return masked + (self.rest(place).count - self.block if self.cache == "prefix" else 0)
