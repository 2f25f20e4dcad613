"""DARE: rows whose query changed little since the step before keep their K/V, or their attention output."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import attrs

from workloads.evidence import ABSTRACT_ONLY
from workloads.forwards import Forward, OperatorRows
from workloads.schedules.base import Step, SteppedSchedule
from workloads.schedules.options import option, refusal


@attrs.frozen(kw_only=True)
class DareSchedule(SteppedSchedule):
    """LLaDA by blocks; queries and feed-forward of all rows, the rest of attention for some.

    From the second forward on, every layer skips key and value projections of the share `reuse_kv` of the rows
    (DARE-KV), and attention with its output projection of the share `reuse_o` (DARE-O). The thresholds that
    would decide over the shares are not published in the abstract; it names 87 % as the most that was reused.
    """

    name: ClassVar[str] = "dare"
    kind: ClassVar[str] = "caching"
    evidence: ClassVar[str] = ABSTRACT_ONLY
    source: ClassVar[str] = "arXiv 2605.08134"

    reuse_kv: float = attrs.field(default=0.5, metadata=option("share of rows that keep their K/V"))
    reuse_o: float = attrs.field(default=0.5, metadata=option("share of rows that keep their attention output"))

    def _check(self) -> None:
        super()._check()
        for name, share in (("reuse-kv", self.reuse_kv), ("reuse-o", self.reuse_o)):
            if not 0 <= share < 1:
                raise refusal(self, f"{name} is {share:g}", "0 or more, below 1")

    def forwards(self) -> Iterator[Forward]:
        """The forwards of all blocks in order."""
        for step in self.walk(self.static_counts):
            yield self.full(step) if step.place.index == 0 else self._reusing(step)

    def _reusing(self, step: Step) -> Forward:
        rows = self.canvas.count
        keys, outputs = (rows - int(rows * share) for share in (self.reuse_kv, self.reuse_o))
        operators = OperatorRows(
            first_layer=rows, query=rows, key=keys, value=keys, attention=outputs, feedforward=rows, output=outputs,
            compared="query",
        )
        return self.full(step, operators=operators, loose_rows=rows)
