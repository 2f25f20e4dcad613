"""Prophet on LLaDA: once the answer rows are certain, every remaining mask is filled and decoding stops.

Source: pixeli99/Prophet 460afe4 generate_earlyexit.py.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, ClassVar

import attrs

from workloads.forwards import Forward, summarize
from workloads.schedules.commits import (
    Profile,
    RecordedStream,
    Stream,
    check_commits,
    commit_stream,
    counts_field,
    log_field,
    seed_field,
)
from workloads.schedules.counts import transfer_counts
from workloads.schedules.options import check_options, option, option_values, refusal
from workloads.schedules.record import Place, Rows, check_blocks, make_forward

GAP_ROWS = 5
FEWER_STEPS = Fraction("2.34")
README = "Prophet README, general tasks"


@attrs.frozen(kw_only=True)
class ProphetSchedule:
    """LLaDA without cache and with static counts, ended by an early exit.

    After each forward the two largest logits of up to five answer rows are compared; where they are far enough
    apart, that forward fills all masks of the canvas. `prefilled` lists generated rows filled beforehand.
    A log or counts end with the exit, if there is one. Without them the exit is at steps / 2.34, the published
    saving, rounded up or down by the seed.

    as "implemented": LM head and sampling over the canvas; "ideal": over the generated rows, all of which an
    exit may fill.
    """

    name: ClassVar[str] = "prophet"
    unlowerable: ClassVar[str] = "the comparison of the two largest logits has no program"

    prompt: int = attrs.field(metadata=option("prompt rows", minimum=0))
    gen: int = attrs.field(metadata=option("generated rows", minimum=1))
    block: int = attrs.field(default=32, metadata=option("rows of a block", minimum=1))
    steps: int = attrs.field(
        default=attrs.Factory(lambda self: self.gen, takes_self=True),
        metadata=option("denoising steps over all blocks; default gen", minimum=1),
    )
    answer_offset: int = attrs.field(
        default=0, metadata=option("first generated row of the five that are tested", minimum=0)
    )
    prefilled: str = attrs.field(default="", metadata=option("generated rows filled beforehand", words=True))
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
        check_commits(self)
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
    def commit_source(self) -> str:
        """Where the exit comes from."""
        if self.commits:
            return f"log {self.commits}"
        if self.counts:
            return "counts given"
        return f"profile: {float(FEWER_STEPS)} times fewer steps ({README}), seed {self.seed}"

    @property
    def params(self) -> dict[str, Any]:
        """The resolved options."""
        return option_values(self)

    def describe(self) -> dict[str, Any]:
        """Name, options and totals."""
        return summarize(self)

    def forwards(self) -> Iterator[Forward]:
        """The forwards up to the exit."""
        stream, leave = self._source()
        masked, static = self._masked_by_block(), self._static_counts()
        total = sum(masked)
        per_block = self.steps // len(masked)
        for index, planned in enumerate(static):
            committed = total if index == leave else planned
            if stream is not None:
                committed = stream.take(total).committed
                if committed not in (planned, total):
                    found = f"forward {index} commits {committed}"
                    raise refusal(self, found, f"{planned}, or {total} for an exit")
            block, step = divmod(index, per_block)
            yield self._forward(Place(index, self.prompt + block * self.block, block, step), committed)
            total -= committed
            if total == 0 and committed != planned:
                break
        if stream is not None:
            stream.finish()

    def _source(self) -> tuple[Stream | None, int | None]:
        """(recorded counts, drawn exit step): one of them is None."""
        if self.commits or self.counts:
            stream = commit_stream(self)
            assert isinstance(stream, RecordedStream)
            return stream, None
        whole, rest = divmod(self.steps / FEWER_STEPS, 1)
        up = random.Random(self.seed).randrange(rest.denominator) < rest.numerator
        return None, max(whole + up, 1) - 1

    def _masked_by_block(self) -> list[int]:
        masked = [self.block] * (self.gen // self.block)
        for row in {int(word) for word in self.prefilled.replace(",", " ").split()}:
            masked[row // self.block] -= 1
        return masked

    def _static_counts(self) -> Iterator[int]:
        masked = self._masked_by_block()
        for rows in masked:
            yield from transfer_counts(rows, self.steps // len(masked))

    def _forward(self, place: Place, committed: int) -> Forward:
        canvas = Rows(0, self.prompt + self.gen)
        head = Rows(self.prompt, self.gen) if self.as_ == "ideal" else canvas
        gap = min(GAP_ROWS, self.gen - self.answer_offset)
        return make_forward(place, "full", canvas, canvas.count, head=head, committed=committed, gap_rows=gap)
