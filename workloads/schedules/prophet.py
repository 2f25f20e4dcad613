"""Prophet on LLaDA: once the answer rows are certain, every remaining mask is filled and decoding stops.

Source: pixeli99/Prophet 460afe4 generate_earlyexit.py.
"""

from __future__ import annotations

import random
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

GAP_ROWS = 5
FEWER_STEPS = Fraction("2.34")
README = "Prophet README, general tasks"


@attrs.frozen(kw_only=True)
class ProphetSchedule(Logged, SteppedSchedule):
    """LLaDA without cache and with static counts, ended by an early exit.

    After each forward the two largest logits of up to five answer rows are compared; where they are far enough
    apart, that forward fills all masks of the canvas. `prefilled` lists generated rows filled beforehand.
    A log or counts end with the exit, if there is one. Without them the exit is at steps / 2.34, the published
    saving, or where the mean that is given wants it, rounded up or down by the seed.

    as "implemented": LM head and sampling over the canvas; "ideal": over the generated rows, all of which an
    exit may fill.
    """

    name: ClassVar[str] = "prophet"
    kind: ClassVar[str] = "steps"
    evidence: ClassVar[str] = CODE_RUN
    source: ClassVar[str] = "arXiv 2508.19982; pixeli99/Prophet 460afe4"

    answer_offset: int = attrs.field(
        default=0, metadata=option("first generated row of the five that are tested", minimum=0)
    )
    prefilled: str = attrs.field(default="", metadata=option("generated rows filled beforehand", words=True))

    def _check(self) -> None:
        super()._check()
        if self.answer_offset >= self.gen:
            raise refusal(self, f"answer-offset {self.answer_offset} with gen {self.gen}", "a generated row")
        words = self.prefilled.replace(",", " ").split()
        if not all(word.isdecimal() and int(word) < self.gen for word in words):
            raise refusal(self, f"prefilled is {self.prefilled!r}", f"row numbers from 0 to {self.gen - 1}")

    @property
    def published(self) -> Profile:
        """Tokens per forward if all tokens take steps / 2.34 forwards."""
        return Profile(Fraction(self.gen, self.steps) * FEWER_STEPS, README)

    @property
    def commit_source(self) -> str | None:
        """Where the exit comes from."""
        if self.recorded:
            return super().commit_source
        return f"profile: {float(FEWER_STEPS)} times fewer steps ({README}), seed {self.seed}"

    def forwards(self) -> Iterator[Forward]:
        """The forwards up to the exit."""
        stream, leave = self._source()
        total = sum(self._masked_by_block())
        for index, planned in enumerate(self._static_counts()):
            committed = total if index == leave else planned
            if stream is not None:
                committed = stream.take(total).committed
                if committed not in (planned, total):
                    found = f"forward {index} commits {committed}"
                    raise refusal(self, found, f"{planned}, or {total} for an exit")
            block, step = divmod(index, self.block_steps)
            yield self._forward(Place(index, self.prompt + block * self.block, block, step), committed)
            total -= committed
            if total == 0 and committed != planned:
                break
        if stream is not None:
            stream.finish()

    def _source(self) -> tuple[Stream | None, int | None]:
        """(recorded counts, drawn exit step): one of them is None."""
        if self.commits or self.counts:
            return self.stream(), None
        forwards = Fraction(self.gen) / Fraction(str(self.mean)) if self.mean else self.steps / FEWER_STEPS
        whole, rest = divmod(forwards, 1)
        up = random.Random(self.seed).randrange(rest.denominator) < rest.numerator
        return None, max(whole + up, 1) - 1

    def _masked_by_block(self) -> list[int]:
        masked = [self.block] * self.blocks
        for row in {int(word) for word in self.prefilled.replace(",", " ").split()}:
            masked[row // self.block] -= 1
        return masked

    def _static_counts(self) -> Iterator[int]:
        for masked in self._masked_by_block():
            yield from self.static_counts(masked)

    def _forward(self, place: Place, committed: int) -> Forward:
        head = self.response if self.ideal else self.canvas
        gap = min(GAP_ROWS, self.gen - self.answer_offset)
        return make_forward(place, "full", self.canvas, self.canvas.count, head=head, committed=committed, gap_rows=gap)
