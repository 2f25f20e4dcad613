"""SparseD: dense attention in the first steps, then attention to the key blocks that mattered in them.

Source: INV-WZQ/SparseD 52155b4 LLaDA sampler.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import attrs

from workloads.evidence import CODE_READ
from workloads.forwards import Forward
from workloads.schedules.base import SteppedSchedule
from workloads.schedules.options import option, refusal


@attrs.frozen(kw_only=True)
class SparsedSchedule(SteppedSchedule):
    """LLaDA by blocks; every row is sent, but from some step on sees only some key blocks.

    Steps 0 to E = int(steps * skip) + 1 are dense. In step E every head chooses key blocks for each block of
    queries, from two further passes over the scores: int(blocks * select) + 1 of all blocks, of which those of
    the prompt count, and int(suffix blocks * select) + 1 of the blocks from the prompt's end on. How many of the
    former fall into the prompt depends on data; `kv_rows` takes its share of them.
    """

    name: ClassVar[str] = "sparsed"
    kind: ClassVar[str] = "caching"
    evidence: ClassVar[str] = CODE_READ
    source: ClassVar[str] = "arXiv 2509.24014; INV-WZQ/SparseD 52155b4"

    skip: float = attrs.field(default=0.2, metadata=option("share of the steps that are dense"))
    select: float = attrs.field(default=0.3, metadata=option("share of the key blocks that are kept"))
    attention_block: int = attrs.field(default=128, metadata=option("rows of a key block", minimum=1))

    def _check(self) -> None:
        super()._check()
        for name, share in (("skip", self.skip), ("select", self.select)):
            if not 0 <= share <= 1:
                raise refusal(self, f"{name} is {share:g}", "0 to 1")

    @property
    def chosen_at(self) -> int:
        """The dense step in which key blocks are chosen."""
        return int(self.steps * self.skip) + 1

    @property
    def kept_rows(self) -> int:
        """Rows that a query attends to once key blocks are chosen."""
        size, rows = self.attention_block, self.canvas.count
        blocks, before = -(-rows // size), self.prompt // size
        suffix = blocks - before
        kept = min(int(suffix * self.select) + 1, suffix)
        wanted = min(int(blocks * self.select) + 1, blocks)
        # As many of them in the prompt as its share of the blocks, rounded half up.
        kept += min((2 * wanted * before + blocks) // (2 * blocks), before)
        return min(kept * size, rows)

    def forwards(self) -> Iterator[Forward]:
        """The forwards of all blocks in order."""
        for step in self.walk(self.static_counts):
            fields: dict[str, Any] = {}
            if step.place.index == self.chosen_at:
                chosen = -(-self.kept_rows // self.attention_block)
                fields = {"score_passes": 2, "key_block": self.attention_block, "chosen_blocks": chosen}
            elif step.place.index > self.chosen_at and self.kept_rows < self.canvas.count:
                fields["key_block"] = self.attention_block
            forward = self.full(step, **fields)
            yield attrs.evolve(forward, kv_rows=self.kept_rows) if step.place.index > self.chosen_at else forward
