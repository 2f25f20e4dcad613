"""BD3-LM: block diffusion with a KV cache, where attention is causal between blocks.

Source: kuleshov-group/bd3lms 1c3e8f4 diffusion.py, _semi_ar_sampler and _ddpm_caching_update.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import ClassVar

import attrs

from workloads.evidence import CODE_RUN
from workloads.forwards import Forward
from workloads.schedules.base import BlockSchedule
from workloads.schedules.commits import Stream, drain
from workloads.schedules.logged import Logged
from workloads.schedules.options import option, refusal
from workloads.schedules.record import Place, Rows, make_forward


@attrs.frozen(kw_only=True)
class Bd3lmSchedule(Logged, BlockSchedule):
    """Blocks left to right; a forward sends the block, and one more stores its K/V once it is empty.

    `prompt` rows stand in the cache already; without any, the first generated row is the start token. Beyond
    `context` rows the oldest K/V fall away. sampler "first_hitting": one token a forward. sampler "ancestral":
    every step of the linear mask schedule commits each mask with probability 1 / (steps left), and a forward
    is needed only after a step that changed something; the draws are seeded here, or their counts are given.
    Without cache a forward sends everything up to the block's end, and nothing is stored.

    as "implemented": LM head and sampling over the query rows, also when storing; "ideal": over the row that
    first_hitting has chosen or the block's masks, and none when storing.
    """

    name: ClassVar[str] = "bd3lm"
    kind: ClassVar[str] = "core"
    evidence: ClassVar[str] = CODE_RUN
    source: ClassVar[str] = "arXiv 2503.09573; kuleshov-group/bd3lms 1c3e8f4"

    gen: int = attrs.field(metadata=option("generated rows", minimum=2))
    prompt: int = attrs.field(default=0, metadata=option("prompt rows in the cache, whole blocks", minimum=0))
    block: int = attrs.field(default=16, metadata=option("rows of a block", minimum=2))
    num_steps: int = attrs.field(default=5000, metadata=option("steps of a block at most", minimum=1))
    sampler: str = attrs.field(
        default="first_hitting", metadata=option("when tokens commit", choices=("first_hitting", "ancestral"))
    )
    cache: str = attrs.field(default="on", metadata=option("KV cache", choices=("on", "off")))
    context: int = attrs.field(default=1024, metadata=option("rows attended to at most", minimum=1))

    def _check(self) -> None:
        super()._check()
        if self.prompt % self.block:
            raise refusal(self, f"prompt {self.prompt} with block {self.block}", "prompt to be whole blocks")
        if self.context < self.block:
            raise refusal(self, f"context {self.context} with block {self.block}", "at least a block")
        if self.fixed_by and self.num_steps < self.block and self.ideal:
            found = f"num-steps {self.num_steps} with block {self.block}, which leaves masks"
            raise refusal(self, found, "a step for each row, or as implemented")

    @property
    def fixed_by(self) -> str:
        """First hitting commits one token a forward."""
        return "sampler first_hitting" if self.sampler == "first_hitting" else ""

    @property
    def drawn(self) -> str:
        """The ancestral sampler's draws."""
        return "drawn row by row as the algorithm does"

    def forwards(self) -> Iterator[Forward]:
        """The forwards of all blocks in order."""
        recorded = self.stream() if self.recorded else None
        draw, index, stored = random.Random(self.seed), 0, self.prompt
        for block in range(self.blocks):
            start = self.prompt + block * self.block
            masked, step = self.block - (start == 0), 0
            for committed in self._block_counts(masked, recorded, draw):
                place = Place(index, start, block, step)
                yield self._forward(place, stored, masked, committed)
                index, step, masked = index + 1, step + 1, masked - committed
            if masked == 0:
                stored += self.block
        if recorded is not None:
            recorded.finish()

    def _block_counts(self, masked: int, recorded: Stream | None, draw: random.Random) -> Iterator[int]:
        """Commits of a block's forwards, the storing one (0) included."""
        if recorded is not None:
            yield from drain(recorded, masked)
        elif self.sampler == "first_hitting":
            yield from [1] * min(masked, self.num_steps)
            if masked > self.num_steps:
                return  # the reference stores finished blocks only
        else:
            yield from self._drawn_counts(masked, draw)
        if self.cache == "on":
            if recorded is not None:
                recorded.take(0)
            yield 0

    def _drawn_counts(self, masked: int, draw: random.Random) -> Iterator[int]:
        for left in range(self.num_steps, 0, -1):
            committed = sum(draw.randrange(left) == 0 for _ in range(masked))
            if committed:
                yield committed
            masked -= committed

    def _forward(self, place: Place, stored: int, masked: int, committed: int) -> Forward:
        if self.cache == "on":
            # Whole blocks fall out of the cache when it is full.
            kv_rows = min(stored, self.context - self.block) + self.block
            query = Rows(place.block_start, self.block)
        else:
            end = place.block_start + self.block
            kv_rows = min(end, self.context)
            query = Rows(end - kv_rows, kv_rows)
        kind = "store" if masked == 0 else "refine" if self.cache == "on" else "full"
        sampled = min(masked, 1) if self.sampler == "first_hitting" else masked
        head = Rows(place.block_start, sampled) if self.ideal else query
        return make_forward(place, kind, query, kv_rows, head=head, committed=committed)
