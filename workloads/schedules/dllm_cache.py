"""dLLM-Cache on LLaDA: prompt and response refreshed at their own intervals, few response rows in between.

Source: maomaocun/dLLM-cache 17235bf utils/generate_function.py, dllm_cache/hooks/cache_hook_LLaDA.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import attrs

from workloads.forwards import Forward, OperatorRows, summarize
from workloads.schedules.counts import transfer_counts
from workloads.schedules.options import check_options, option, option_values, refusal
from workloads.schedules.record import Place, Rows, check_blocks, make_forward


@attrs.frozen(kw_only=True)
class DllmCacheSchedule:
    """LLaDA by blocks; cached K, V, attention and feed-forward outputs stand in for rows left out.

    Step t (over all blocks, from 0) refreshes the prompt's rows if t is a multiple of prompt_interval, and the
    response's if of gen_interval; otherwise the int(transfer_ratio * gen) response rows whose V changed most,
    for which V of the whole response is computed. The first layer always computes all rows. `q_rows` are the
    rows of the other layers' query projection; `operators` has the rest.

    as "implemented": LM head over the canvas, sampling over the response; "ideal": both over the block.
    """

    name: ClassVar[str] = "dllm-cache"
    commit_source: ClassVar[None] = None
    unlowerable: ClassVar[str] = "layers and operators send different rows, chosen by how much V changed"

    prompt: int = attrs.field(metadata=option("prompt rows", minimum=0))
    gen: int = attrs.field(metadata=option("generated rows", minimum=1))
    block: int = attrs.field(default=32, metadata=option("rows of a block", minimum=1))
    steps: int = attrs.field(
        default=attrs.Factory(lambda self: self.gen, takes_self=True),
        metadata=option("denoising steps over all blocks; default gen", minimum=1),
    )
    prompt_interval: int = attrs.field(default=50, metadata=option("steps between prompt refreshes", minimum=1))
    gen_interval: int = attrs.field(default=7, metadata=option("steps between response refreshes", minimum=1))
    transfer_ratio: float = attrs.field(default=0.25, metadata=option("share of response rows sent in between"))
    as_: str = attrs.field(
        default="ideal",
        metadata=option("row counts without or with the reference code's waste", choices=("ideal", "implemented")),
    )

    def __attrs_post_init__(self) -> None:
        check_options(self)
        check_blocks(self, self.gen, self.block, self.steps)
        if not 0 <= self.transfer_ratio <= 1:
            raise refusal(self, f"transfer-ratio is {self.transfer_ratio}", "0 to 1")
        if self.transfer_ratio > 0 and self._changed == 0:
            raise refusal(self, f"transfer-ratio {self.transfer_ratio} of {self.gen} rows is none", "0, or a row")

    @property
    def params(self) -> dict[str, Any]:
        """The resolved options."""
        return option_values(self)

    def describe(self) -> dict[str, Any]:
        """Name, options and totals."""
        return summarize(self)

    @property
    def _changed(self) -> int:
        return int(self.transfer_ratio * self.gen)

    def forwards(self) -> Iterator[Forward]:
        """The forwards of all blocks in order."""
        counts = transfer_counts(self.block, self.steps // (self.gen // self.block))
        for block in range(self.gen // self.block):
            for step, committed in enumerate(counts):
                index = block * len(counts) + step
                yield self._forward(Place(index, self.prompt + block * self.block, block, step), committed)

    def _forward(self, place: Place, committed: int) -> Forward:
        canvas = self.prompt + self.gen
        prompt = self.prompt if place.index % self.prompt_interval == 0 else 0
        whole = place.index % self.gen_interval == 0
        rows = prompt + (self.gen if whole else self._changed)
        values = prompt + (self.gen if whole or self._changed else 0)
        ideal = self.as_ == "ideal"
        head = Rows(place.block_start, self.block) if ideal else Rows(0, canvas)
        return make_forward(
            place,
            "warm" if rows == canvas else "refine",
            Rows(0 if prompt else self.prompt, rows),
            canvas if rows else 0,
            head=head,
            sampled=self.block if ideal else self.gen,
            committed=committed,
            scattered=not whole,
            operators=OperatorRows(
                first_layer=canvas, query=rows, key=rows, value=values, attention=rows, feedforward=rows
            ),
        )
