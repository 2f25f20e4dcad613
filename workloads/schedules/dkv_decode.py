"""dKV-Cache-Decode on LLaDA: a token's K/V are cached from the second step after it was committed.

Source: horseee/dKV-Cache 49a76fc generation_utils/llada_dkv_cache_decode.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, ClassVar

import attrs

from workloads.forwards import Forward, summarize
from workloads.schedules.counts import transfer_counts
from workloads.schedules.options import check_options, option, option_values
from workloads.schedules.record import Place, Rows, check_blocks, make_forward


@attrs.frozen(kw_only=True)
class DkvDecodeSchedule:
    """LLaDA by blocks; forwards leave out the rows that were decoded two or more steps ago.

    The first two forwards of a block and every `refresh`-th one send the canvas. Every row is attended to.
    as "implemented": LM head and sampling over the query rows; "ideal": over the block's masked rows.
    """

    name: ClassVar[str] = "dkv-decode"
    commit_source: ClassVar[None] = None
    unlowerable: ClassVar[str] = "the query rows are the undecoded ones, scattered over the canvas"

    prompt: int = attrs.field(metadata=option("prompt rows", minimum=0))
    gen: int = attrs.field(metadata=option("generated rows", minimum=1))
    block: int = attrs.field(default=32, metadata=option("rows of a block", minimum=1))
    steps: int = attrs.field(
        default=attrs.Factory(lambda self: self.gen, takes_self=True),
        metadata=option("denoising steps over all blocks; default gen", minimum=1),
    )
    refresh: int = attrs.field(default=8, metadata=option("steps from one refresh to the next", minimum=1))
    cache: str = attrs.field(default="on", metadata=option("KV cache", choices=("on", "off")))
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
        done = list(itertools.accumulate(counts, initial=0))  # done[i]: the block's tokens before step i
        for block in range(self.gen // self.block):
            start = self.prompt + block * self.block
            for step, committed in enumerate(counts):
                place = Place(block * len(counts) + step, start, block, step)
                cached = self.cache == "on" and step >= 2 and step % self.refresh > 0
                decoded = start + done[step - 1] if cached else 0
                yield self._forward(place, decoded, self.block - done[step], committed)

    def _forward(self, place: Place, decoded: int, masked: int, committed: int) -> Forward:
        canvas = self.prompt + self.gen
        kind = "full" if self.cache == "off" else "refine" if decoded else "warm"
        query = Rows(0, canvas - decoded)
        head = query if self.as_ == "implemented" else Rows(place.block_start, masked)
        return make_forward(place, kind, query, canvas, head=head, committed=committed, scattered=decoded > 0)
