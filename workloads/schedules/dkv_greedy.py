"""dKV-Cache-Greedy on LLaDA: only rows decoded just now or next, and their neighbours, are computed again.

Source: horseee/dKV-Cache 49a76fc generation_utils/llada_dkv_cache_greedy.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import attrs

from workloads.forwards import Forward, summarize
from workloads.schedules.counts import transfer_counts
from workloads.schedules.options import check_options, option, option_values
from workloads.schedules.record import Place, Rows, check_blocks, make_forward


@attrs.frozen(kw_only=True)
class DkvGreedySchedule:
    """LLaDA by blocks in a random order known ahead (the reference refuses any other).

    Every `refresh`-th forward of a block sends the canvas. The others send the rows committed in the step
    before, those to commit now, and up to `window` masked neighbours of each of the latter. Which rows are
    neighbours depends on the order; their number is taken to end only where masked rows run out.
    as "implemented": LM head and sampling over the query rows; "ideal": over the rows to commit.
    """

    name: ClassVar[str] = "dkv-greedy"
    commit_source: ClassVar[None] = None
    unlowerable: ClassVar[str] = "the query rows are scattered over the canvas"

    prompt: int = attrs.field(metadata=option("prompt rows", minimum=0))
    gen: int = attrs.field(metadata=option("generated rows", minimum=1))
    block: int = attrs.field(default=32, metadata=option("rows of a block", minimum=1))
    steps: int = attrs.field(
        default=attrs.Factory(lambda self: self.gen, takes_self=True),
        metadata=option("denoising steps over all blocks; default gen", minimum=1),
    )
    refresh: int = attrs.field(default=2, metadata=option("steps from one refresh to the next", minimum=1))
    window: int = attrs.field(default=4, metadata=option("masked neighbours of a row to commit", minimum=0))
    as_: str = attrs.field(
        default="ideal",
        metadata=option("row counts without or with the reference code's waste", choices=("ideal", "implemented")),
    )

    def __attrs_post_init__(self) -> None:
        check_options(self)
        check_blocks(self, self.gen, self.block, self.steps)

    @property
    def params(self) -> dict[str, Any]:
        """The resolved options."""
        return option_values(self)

    def describe(self) -> dict[str, Any]:
        """Name, options and totals."""
        return summarize(self)

    def forwards(self) -> Iterator[Forward]:
        """The forwards of all blocks in order."""
        counts = transfer_counts(self.block, self.steps // (self.gen // self.block))
        masked = self.gen
        for block in range(self.gen // self.block):
            for step, committed in enumerate(counts):
                place = Place(block * len(counts) + step, self.prompt + block * self.block, block, step)
                neighbours = min(self.window * committed, masked - committed)
                rows = None if step % self.refresh == 0 else counts[step - 1] + committed + neighbours
                yield self._forward(place, rows, committed)
                masked -= committed

    def _forward(self, place: Place, rows: int | None, committed: int) -> Forward:
        canvas = self.prompt + self.gen
        query = Rows(0, canvas if rows is None else rows)
        head = query if self.as_ == "implemented" else Rows(place.block_start, committed)
        kind = "warm" if rows is None else "refine"
        return make_forward(place, kind, query, canvas, head=head, committed=committed, scattered=rows is not None)
