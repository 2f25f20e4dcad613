"""rho-EOS: one loop that denoises and lengthens or shortens the canvas by the share of end tokens among its masks.

Source: yjyddq/rho-EOS 69992ca models/LLaDA_rho_EOS.py.
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

LARGEST = 8
"""Multiples of the expansion factor by which one forward changes the length: 1, 2, 4 or this."""
ADJUSTED = 64
"""Forwards after which the length changes; later ones only denoise."""


@attrs.frozen(kw_only=True)
class RhoEosSchedule(Logged, ScheduleBase):
    """Whole-canvas forwards; after any of the first 64 the canvas may grow or shrink at its end.

    A log says by how much ("resized", "2+8" or "2-8" in counts): the expansion factor times 1, 2, 4 or 8, cut
    where max_gen or nothing is reached. Rows taken away are masked ones as far as there are any. Counts around a
    mean leave the length as it is.

    Where that leaves no mask before the last block, the reference runs a forward without any, finds no end token
    among none, and grows the canvas again; as "implemented" takes such forwards from a log.

    as "implemented": LM head and sampling over the canvas; "ideal": over the generated rows, whose end tokens
    count.
    """

    name: ClassVar[str] = "rho-eos"
    kind: ClassVar[str] = "steps"
    evidence: ClassVar[str] = CODE_RUN
    source: ClassVar[str] = "yjyddq/rho-EOS 69992ca"

    prompt: int = attrs.field(metadata=option("prompt rows", minimum=0))
    initial_gen: int = attrs.field(default=64, metadata=option("generated rows at first", minimum=1))
    block: int = attrs.field(default=32, metadata=option("rows of a block", minimum=1))
    expansion_factor: int = attrs.field(default=8, metadata=option("rows of the smallest change", minimum=1))
    max_gen: int = attrs.field(default=2048, metadata=option("largest number of generated rows", minimum=1))
    as_: str = as_field()

    def _check(self) -> None:
        super()._check()
        if self.initial_gen > self.max_gen:
            raise refusal(self, f"initial-gen {self.initial_gen} with max-gen {self.max_gen}", "at most max-gen")

    def forwards(self) -> Iterator[Forward]:
        """The forwards until no row is masked."""
        stream, rows, masked, index = self.stream(), self.initial_gen, self.initial_gen, 0
        stream.start_block()
        while masked or (self.as_ == "implemented" and stream.idle(0, 1)):
            count = stream.take(masked, least=min(1, masked), most=self.block)
            block = (rows - masked) // self.block
            canvas = Rows(0, self.prompt + rows)
            place = Place(index, self.prompt + block * self.block, block, index)
            head = Rows(self.prompt, rows) if self.as_ == "ideal" else canvas
            yield make_forward(
                place, "full", canvas, canvas.count, head=head, committed=count.committed, end_test=index < ADJUSTED
            )
            change = self._change(index, rows, count)
            masked, rows, index = max(masked - count.committed + change, 0), rows + change, index + 1
        stream.finish()

    def _change(self, index: int, rows: int, count: Count) -> int:
        change, factor = count.resized, self.expansion_factor
        if change == 0:
            return 0
        known = [factor * times for times in (1, 2, 4, LARGEST)]
        cut = rows + change in (0, self.max_gen) and abs(change) < known[-1]
        if index >= ADJUSTED or rows == self.max_gen or not (abs(change) in known or cut) or -change > rows:
            found = f"forward {index} resizes {rows} rows by {change}"
            raise refusal(self, found, f"{', '.join(map(str, known))} rows in the first {ADJUSTED} forwards")
        if rows + change > self.max_gen:
            return self.max_gen - rows
        return change
