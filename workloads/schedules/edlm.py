"""EDLM: in part of the steps several candidates are drawn, scored by an energy model, and one of them is taken.

Source: the sampler (_sample, with ddpm_cache) of the paper's Energy-Diffusion-LLM code, in public copies.
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
from workloads.schedules.logged import Logged
from workloads.schedules.options import option, refusal
from workloads.schedules.record import Place, make_forward


@attrs.frozen(kw_only=True)
class EdlmSchedule(Logged, CanvasSchedule):
    """Ancestral sampling over the whole canvas; time runs from 1 to 0 in `steps`.

    Every step commits each mask with probability 1 / (steps left), and what was predicted is kept as long as
    nothing commits, so that only steps behind a change need a forward. If it falls between window_end and
    window_start, a second forward sends `candidates` complete canvases through an autoregressive energy model of
    the same size, whose logits of all rows give their likelihoods; the tokens of the one chosen then commit.

    Counts are drawn here or given: at least 1 a forward, but 0 for one whose candidates are then scored. Where
    given, the share of masked rows stands for the time. as "implemented" ends with forwards over the finished
    canvas: one if it was finished before the last step, scored as any other, and always one that would remove
    remaining masks.
    """

    name: ClassVar[str] = "edlm"
    kind: ClassVar[str] = "steps"
    evidence: ClassVar[str] = CODE_RUN
    source: ClassVar[str] = "arXiv 2410.21357"

    prompt: int = attrs.field(default=0, metadata=option("prompt rows", minimum=0))
    steps: int = attrs.field(default=128, metadata=option("denoising steps", minimum=1))
    candidates: int = attrs.field(default=2, metadata=option("canvases that are scored", minimum=1))
    window_start: float = attrs.field(default=0.6, metadata=option("time at which scoring begins"))
    window_end: float = attrs.field(default=0.4, metadata=option("time at which scoring ends"))

    def _check(self) -> None:
        super()._check()
        if not 0 <= self.window_end <= self.window_start <= 1:
            found = f"window-start {self.window_start:g} and window-end {self.window_end:g}"
            raise refusal(self, found, "0 <= window-end <= window-start <= 1")

    @property
    def drawn(self) -> str:
        """The algorithm's own draws."""
        return "drawn row by row as the algorithm does"

    def forwards(self) -> Iterator[Forward]:
        """The forwards of all steps."""
        stream = self.stream() if self.recorded else None
        masked, index, step = self.gen, 0, 0
        for scored, committed in self._draws() if stream is None else self._given(stream):
            for energy in (False, True) if scored else (False,):
                place = Place(index, self.prompt, 0, step)
                tokens = committed if energy == scored else 0
                yield self._energy(place, tokens) if energy else self._denoise(place, masked, tokens, scored)
                index += 1
            masked, step = masked - committed, step + 1
        if stream is not None:
            stream.finish()

    def _scored(self, time: float) -> bool:
        return self.window_end <= time <= self.window_start

    def _draws(self) -> Iterator[tuple[bool, int]]:
        """(whether candidates are scored, tokens) of each forward of the denoiser."""
        draw, masked, fresh, scored = random.Random(self.seed), self.gen, True, False
        for left in range(self.steps, 0, -1):
            scored = self._scored(left / self.steps) if fresh else scored
            if masked == 0 and fresh and not self.ideal:
                yield scored, 0
            committed = sum(draw.randrange(left) == 0 for _ in range(masked))
            fresh = committed > 0
            if fresh:
                yield scored, committed
            masked -= committed
        if not self.ideal:
            yield False, 0

    def _given(self, stream: Stream) -> Iterator[tuple[bool, int]]:
        masked = self.gen
        stream.start_block()
        while masked:
            scored = self._scored(masked / self.gen)
            if scored:
                stream.take(masked, most=0)
            committed = stream.take(masked, least=1).committed
            yield scored, committed
            masked -= committed
        if not self.ideal:
            for zeros in (stream.idle(1, 3) - 1, 1):  # over the finished canvas, perhaps scored; the last one
                for _ in range(zeros):
                    stream.take(0)
                if zeros:
                    yield zeros == 2, 0

    def _energy(self, place: Place, committed: int) -> Forward:
        return make_forward(
            place,
            "prefill",
            self.canvas,
            self.canvas.count,
            committed=committed,
            sequences=self.candidates,
            network="energy",
            score="likelihood",
            branches=self.candidates,
            committing=1,
        )

    def _denoise(self, place: Place, masked: int, committed: int, scored: bool) -> Forward:
        head = self.response if self.ideal else self.canvas
        sampled = masked if self.ideal else None
        return make_forward(
            place, "full", self.canvas, self.canvas.count, head=head, sampled=sampled, committed=committed,
            draws=self.candidates if scored else 1,
        )  # fmt: skip
