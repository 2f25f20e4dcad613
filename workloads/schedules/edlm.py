"""EDLM: in part of the steps several candidates are drawn, scored by an energy model, and one of them is taken.

Source: the sampler of the EDLM repository, as read for its loop.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import ClassVar

import attrs

from workloads.evidence import CODE_READ
from workloads.forwards import Forward
from workloads.schedules.base import CanvasSchedule
from workloads.schedules.commits import Stream
from workloads.schedules.logged import Logged
from workloads.schedules.options import option, refusal
from workloads.schedules.record import Place, make_forward


@attrs.frozen(kw_only=True)
class EdlmSchedule(Logged, CanvasSchedule):
    """Ancestral sampling over the whole canvas; time runs from 1 to 0 in `steps`.

    While it stands between window_end and window_start, the denoiser's forward commits nothing; a second forward
    sends `candidates` complete canvases through an autoregressive energy model of the same size, whose logits
    of all rows give their likelihoods, and the chosen one commits. Each mask commits with probability
    1 / (steps left): drawn here, or counts are given, 0 for forwards that cannot commit.
    """

    name: ClassVar[str] = "edlm"
    kind: ClassVar[str] = "steps"
    evidence: ClassVar[str] = CODE_READ
    source: ClassVar[str] = "arXiv 2410.21357"
    unlowerable: ClassVar[str | None] = "a second model's weights have no place in a program"

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
        draw, masked, index = random.Random(self.seed), self.gen, 0
        for step in range(self.steps):
            left = self.steps - step
            scored = self.window_end <= left / self.steps <= self.window_start
            for energy in (False, True) if scored else (False,):
                committed = self._take(stream, draw, masked, left) if energy == scored else 0
                if stream is not None and energy != scored:
                    stream.take(masked, most=0)
                yield self._forward(Place(index, self.prompt, 0, step), masked, committed, energy=energy)
                index, masked = index + 1, masked - committed
        if stream is not None:
            stream.finish()

    def _take(self, stream: Stream | None, draw: random.Random, masked: int, left: int) -> int:
        if stream is not None:
            return stream.take(masked, least=masked if left == 1 else 0).committed
        return sum(draw.randrange(left) == 0 for _ in range(masked))

    def _forward(self, place: Place, masked: int, committed: int, *, energy: bool) -> Forward:
        if energy:
            return make_forward(
                place, "prefill", self.canvas, self.canvas.count, committed=committed, sequences=self.candidates,
                network="energy",
            )
        head = self.response if self.ideal else self.canvas
        return make_forward(
            place, "full", self.canvas, self.canvas.count, head=head, sampled=masked if self.ideal else None,
            committed=committed,
        )
