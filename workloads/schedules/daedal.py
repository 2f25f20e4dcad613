"""DAEDAL on LLaDA: the length of the canvas is searched first, and grows again while it is denoised.

Source: Li-Jinsong/DAEDAL 303c9e9 models/LLaDA_DAEDAL.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import attrs

from workloads.evidence import CODE_RUN
from workloads.forwards import Forward
from workloads.schedules.base import ScheduleBase, as_field
from workloads.schedules.commits import Count
from workloads.schedules.logged import Logged
from workloads.schedules.options import option, refusal
from workloads.schedules.record import Place, Rows, make_forward


@attrs.frozen
class Canvas:
    """The generated part of the canvas: rows, how many of them are masked, and the end tokens behind them."""

    rows: int
    masked: int
    ends: int

    def after(self, count: Count, growth: int, most: int) -> Canvas:
        """The canvas after a forward; an expansion adds `growth` masks and cuts what stands beyond `most` rows."""
        masked = self.masked - count.committed
        if not count.expanded:
            return Canvas(self.rows, masked, self.ends)
        dropped = max(self.rows + self.ends + growth - most, 0)
        lost = max(dropped - self.ends, 0)
        return Canvas(self.rows + growth - lost, max(masked + growth - lost, 0), max(self.ends - dropped, 0))


@attrs.frozen(kw_only=True)
class DaedalSchedule(Logged, ScheduleBase):
    """Whole-canvas forwards over a canvas that grows; what each commits, and when it grows, depends on data.

    Stage 1 has `stage1_forwards` forwards that commit nothing; between two of them the response grows by
    expansion_factor rows. Then eos_check / 2 rows with the end token are appended. Stage 2 commits rows of the
    current block until no mask is left. After an expansion ("2+" in counts, "expanded" in a log) one masked row
    has become expansion_factor masked rows. Beyond max_gen rows are dropped at the end: first those with the
    end token, then masks, which are taken to fill the canvas behind the current block.

    as "implemented": LM head and sampling over the canvas; "ideal": over the response.
    """

    name: ClassVar[str] = "daedal"
    kind: ClassVar[str] = "steps"
    evidence: ClassVar[str] = CODE_RUN
    source: ClassVar[str] = "arXiv 2508.00819; Li-Jinsong/DAEDAL 303c9e9"

    prompt: int = attrs.field(metadata=option("prompt rows", minimum=0))
    initial_gen: int = attrs.field(default=64, metadata=option("generated rows at first", minimum=1))
    block: int = attrs.field(default=32, metadata=option("rows of a block", minimum=1))
    expansion_factor: int = attrs.field(default=8, metadata=option("rows of one expansion", minimum=1))
    eos_check: int = attrs.field(default=32, metadata=option("rows tested for the end token", minimum=1))
    max_gen: int = attrs.field(default=2048, metadata=option("largest number of generated rows", minimum=1))
    stage1_forwards: int = attrs.field(default=1, metadata=option("forwards of the length search", minimum=1))
    as_: str = as_field()

    def _check(self) -> None:
        super()._check()
        if self.initial_gen > self.max_gen:
            raise refusal(self, f"initial-gen {self.initial_gen} with max-gen {self.max_gen}", "at most max-gen")
        growths = -(-(self.max_gen - self.initial_gen) // self.expansion_factor)
        if self.stage1_forwards > growths + 1:
            found = f"{self.stage1_forwards} forwards in stage 1"
            raise refusal(self, found, f"at most {growths + 1}, by when max-gen is reached")

    @property
    def commit_source(self) -> str:
        """Where commit counts and expansions come from."""
        return f"{super().commit_source}; length search of {self.stage1_forwards} forwards given"

    def forwards(self) -> Iterator[Forward]:
        """The forwards of both stages."""
        stream = self.stream()
        masked = self.initial_gen
        for index in range(self.stage1_forwards):
            masked = min(self.initial_gen + index * self.expansion_factor, self.max_gen)
            stream.take(masked, most=0)
            yield self._forward(index, masked, 0, 0)
        canvas = Canvas(masked, masked, min(self.eos_check // 2, self.max_gen - masked))
        index = self.stage1_forwards
        while canvas.masked:
            count = stream.take(canvas.masked, least=1, most=self.block)
            if count.expanded and count.committed == canvas.masked:
                raise refusal(self, f"forward {index} expands without a masked row left", "fewer commits")
            block = (canvas.rows - canvas.masked) // self.block
            yield self._forward(index, canvas.rows + canvas.ends, count.committed, block)
            canvas = canvas.after(count, self.expansion_factor - 1, self.max_gen)
            index += 1
        stream.finish()

    def _forward(self, index: int, length: int, committed: int, block: int) -> Forward:
        canvas = Rows(0, self.prompt + length)
        head = Rows(self.prompt, length) if self.as_ == "ideal" else canvas
        place = Place(index, self.prompt + block * self.block, block, index)
        return make_forward(place, "full", canvas, canvas.count, head=head, committed=committed, end_test=True)
