"""dLLM-Cache on LLaDA: prompt and response refreshed at their own intervals, few response rows in between.

Source: maomaocun/dLLM-cache 17235bf utils/generate_function.py, dllm_cache/hooks/cache_hook_LLaDA.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import attrs

from workloads.evidence import CODE_RUN
from workloads.forwards import Forward, OperatorRows
from workloads.schedules.base import SteppedSchedule
from workloads.schedules.options import option, refusal
from workloads.schedules.record import Place, Rows, make_forward


@attrs.frozen(kw_only=True)
class DllmCacheSchedule(SteppedSchedule):
    """LLaDA by blocks; cached K, V, attention and feed-forward outputs stand in for rows left out.

    Step t (over all blocks, from 0) refreshes the prompt's rows if t is a multiple of prompt_interval, and the
    response's if of gen_interval; otherwise the int(transfer_ratio * gen) response rows whose V changed most,
    for which V of the whole response is computed. The first layer always computes all rows. `q_rows` are the
    rows of the other layers' query projection; `operators` has the rest.

    as "implemented": LM head over the canvas, sampling over the response; "ideal": both over the block.
    """

    name: ClassVar[str] = "dllm-cache"
    kind: ClassVar[str] = "caching"
    evidence: ClassVar[str] = CODE_RUN
    source: ClassVar[str] = "arXiv 2506.06295; maomaocun/dLLM-cache 17235bf"

    prompt_interval: int = attrs.field(default=50, metadata=option("steps between prompt refreshes", minimum=1))
    gen_interval: int = attrs.field(default=7, metadata=option("steps between response refreshes", minimum=1))
    transfer_ratio: float = attrs.field(default=0.25, metadata=option("share of response rows sent in between"))

    def _check(self) -> None:
        super()._check()
        if not 0 <= self.transfer_ratio <= 1:
            raise refusal(self, f"transfer-ratio is {self.transfer_ratio}", "0 to 1")
        if self.transfer_ratio > 0 and self._changed == 0:
            raise refusal(self, f"transfer-ratio {self.transfer_ratio} of {self.gen} rows is none", "0, or a row")

    @property
    def _changed(self) -> int:
        return int(self.transfer_ratio * self.gen)

    def forwards(self) -> Iterator[Forward]:
        """The forwards of all blocks in order."""
        for step in self.walk(self.static_counts):
            yield self._forward(step.place, step.committed)

    def _forward(self, place: Place, committed: int) -> Forward:
        canvas = self.canvas.count
        prompt = self.prompt if place.index % self.prompt_interval == 0 else 0
        whole = place.index % self.gen_interval == 0
        rows = prompt + (self.gen if whole else self._changed)
        values = prompt + (self.gen if whole or self._changed else 0)
        head = self.own(place) if self.ideal else self.canvas
        return make_forward(
            place,
            "warm" if rows == canvas else "refine",
            Rows(0 if prompt else self.prompt, rows),
            canvas if rows else 0,
            head=head,
            sampled=self.block if self.ideal else self.gen,
            committed=committed,
            scattered=not whole,
            loose_rows=self._changed if not whole and prompt else 0,
            operators=OperatorRows(
                first_layer=canvas, query=rows, key=rows, value=values, attention=rows, feedforward=rows,
                compared="" if whole or not self._changed else "value",
            ),
        )
