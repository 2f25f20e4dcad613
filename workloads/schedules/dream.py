"""Dream's sampler: no blocks, no cache; how many rows commit follows from the time steps.

Source: dream/model/generation_utils.py as in NVlabs/Fast-dLLM 24cc59e, whose rule is that of the Dream release.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import ClassVar

import attrs

from workloads.evidence import CODE_RUN
from workloads.forwards import Forward
from workloads.schedules.base import CanvasSchedule
from workloads.schedules.commits import Stream
from workloads.schedules.dream_time import commit_share, share_of, time_steps
from workloads.schedules.logged import Logged
from workloads.schedules.options import option, refusal
from workloads.schedules.record import Place, Rows, make_forward

SCORES = {"entropy": "entropy", "topk_margin": "margin", "origin": "random"}
"""What rows are chosen by, where that is not the probability of the token."""


@attrs.frozen(kw_only=True)
class DreamSchedule(Logged, CanvasSchedule):
    """Whole-canvas forwards; the masked rows with the best scores commit, wherever they are.

    alg "maskgit_plus" (probability), "topk_margin" and "entropy" differ in the score only: step i commits
    int(masked * (1 - t[i+1] / t[i])) rows, the last step all. "origin" commits each masked row with that
    probability; its draws are seeded here, or given. "confidence_threshold" (Fast-dLLM's addition) commits
    gen / steps rows plus those put off before, as far as they pass, at least one, until no mask is left.

    Sampling takes the masked rows only, except for origin, which samples the rows that commit. The reference
    computes logits for the canvas; as "ideal" for the sampled rows.
    """

    name: ClassVar[str] = "dream"
    kind: ClassVar[str] = "core"
    counted: ClassVar[tuple[str, ...]] = ("maskgit_plus", "topk_margin", "entropy")
    """Choices of alg whose counts follow from the time steps."""
    evidence: ClassVar[str] = CODE_RUN
    source: ClassVar[str] = "arXiv 2508.15487; DreamLM/Dream fac0a7f"

    prompt: int = attrs.field(metadata=option("prompt rows", minimum=1))
    steps: int = attrs.field(
        default=attrs.Factory(lambda self: self.gen, takes_self=True),
        metadata=option("denoising steps; default gen", minimum=1),
    )
    alg: str = attrs.field(
        default="entropy", metadata=option("how rows are chosen", choices=("origin", *counted, "confidence_threshold"))
    )
    eps: float = attrs.field(default=1e-3, metadata=option("last time step"))

    def _check(self) -> None:
        super()._check()
        if not 0 < self.eps < 1:
            raise refusal(self, f"eps is {self.eps}", "a number between 0 and 1")
        if self.alg == "confidence_threshold" and self.gen % self.steps:
            raise refusal(self, f"gen {self.gen} in {self.steps} steps", "gen to be a multiple of steps")

    @property
    def fixed_by(self) -> str:
        """Time steps need no data."""
        return f"alg {self.alg}" if self.alg in self.counted else ""

    @property
    def drawn(self) -> str:
        """The draws of origin."""
        return "drawn row by row as the algorithm does" if self.alg == "origin" else ""

    def forwards(self) -> Iterator[Forward]:
        """The forwards, one a step."""
        masked = self.gen
        for index, committed in enumerate(self._counts()):
            yield self._forward(index, masked, committed)
            masked -= committed

    def _counts(self) -> Iterator[int]:
        if self.alg == "confidence_threshold":
            return self._threshold_counts(self.stream())
        if self.alg == "origin":
            return self._origin_counts()
        return self._timed_counts()

    def _timed_counts(self) -> Iterator[int]:
        masked, times = self.gen, time_steps(self.steps, self.eps)
        for step in range(self.steps):
            committed = masked if step == self.steps - 1 else share_of(masked, times[step], times[step + 1])
            yield committed
            masked -= committed

    def _origin_counts(self) -> Iterator[int]:
        stream = self.stream() if self.recorded else None
        draw, times, masked = random.Random(self.seed), time_steps(self.steps, self.eps), self.gen
        for step in range(self.steps):
            last = step == self.steps - 1
            if stream is not None:
                committed = stream.take(masked, least=masked if last else 0).committed
            else:
                share = 1.0 if last else commit_share(times[step], times[step + 1])
                committed = sum(draw.random() < share for _ in range(masked))
            yield committed
            masked -= committed
        if stream is not None:
            stream.finish()

    def _threshold_counts(self, stream: Stream) -> Iterator[int]:
        masked, put_off = self.gen, 0
        while masked:
            quota = min(masked, self.gen // self.steps + put_off)
            committed = stream.take(masked, least=1, most=quota).committed
            yield committed
            masked, put_off = masked - committed, quota - committed
        stream.finish()

    def _forward(self, index: int, masked: int, committed: int) -> Forward:
        canvas = self.canvas
        sampled = committed if self.alg == "origin" else masked
        # Position p is predicted by row p - 1.
        head = Rows(self.prompt - 1, sampled) if self.ideal else canvas
        place = Place(index, self.prompt, 0, index)
        return make_forward(
            place, "full", canvas, canvas.count, head=head, sampled=sampled, committed=committed,
            score=SCORES.get(self.alg, "confidence"), head_scattered=True,
        )
