"""dInfer on LLaDA2: block diffusion with exact K/V of finished blocks.

Source: inclusionAI/dInfer fce4e32 decoding/generate_uniform.py (BlockDiffusionLLM).
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import ClassVar

import attrs

from workloads.forwards import Forward
from workloads.schedules.base import CODE_RUN, CanvasSchedule
from workloads.schedules.commits import Profile, Stream
from workloads.schedules.logged import Logged
from workloads.schedules.options import option
from workloads.schedules.record import Place, Rows, make_forward

# Tokens per forward by (threshold, block): LLaDA2.0 report, mini model.
MEASURED = {(0.95, 32): "2.55", (0.85, 32): "3.31", (0.95, 16): "2.44"}


@attrs.frozen(kw_only=True)
class DinferBlockSchedule(Logged, CanvasSchedule):
    """Attention is causal between blocks: the prompt's whole blocks are computed once, then block after block.

    Forwards run in groups of max(2, min(maximum_unroll, masks / expected_tpf)) before the block is tested; where
    a group's last forward still had masks, one more stores the block's K/V. Generation runs to the end of the
    last block begun, so up to block - 1 further tokens are made. A prompt shorter than a block is computed with
    the masks behind it.

    as "ideal": groups of one forward; LM head and sampling over the block, none for prompt and store.
    """

    name: ClassVar[str] = "dinfer-block"
    kind: ClassVar[str] = "core"
    evidence: ClassVar[str] = CODE_RUN
    source: ClassVar[str] = "arXiv 2512.15745; inclusionAI/dInfer fce4e32"
    unlowerable: ClassVar[str] = "forwards that store K/V have no LM-head rows, and attention is causal by blocks"

    block: int = attrs.field(default=32, metadata=option("rows of a block", minimum=1))
    threshold: float = attrs.field(default=0.95, metadata=option("least confidence to commit"))
    maximum_unroll: int = attrs.field(default=4, metadata=option("forwards of a group at most", minimum=1))
    expected_tpf: int = attrs.field(default=8, metadata=option("masks that a group's forward counts for", minimum=1))

    @property
    def published(self) -> Profile | None:
        """The report's tokens per forward at this threshold and block."""
        mean = MEASURED.get((self.threshold, self.block))
        return None if mean is None else Profile(Fraction(mean), "LLaDA2.0 report, LLaDA2.0-mini")

    def forwards(self) -> Iterator[Forward]:
        """The prompt's forward and those of all blocks."""
        stream = self.stream()
        first, last = self.prompt // self.block, -(-(self.prompt + self.gen) // self.block)
        stream.take(0)
        yield self._forward(Place(0, first * self.block, 0, 0), "prefill", max(first, 1) * self.block, 0)
        index = 1
        for block in range(first, last):
            masked = self.block - (self.prompt % self.block if block == first else 0)
            stream.start_block()
            for step, committed in enumerate(self._block_counts(stream, masked)):
                place = Place(index, block * self.block, block - first, step)
                yield self._forward(place, "refine" if masked else "store", self.block, committed)
                index, masked = index + 1, masked - committed
        stream.finish()

    def _block_counts(self, stream: Stream, masked: int) -> Iterator[int]:
        """Commits of a block's forwards; those of forwards over the finished block, which store it, are 0."""
        stored = False
        while masked:
            for _ in range(self._group(masked)):
                stored = masked == 0
                committed = stream.take(masked, least=min(1, masked)).committed
                yield committed
                masked -= committed
        if not stored:
            stream.take(0)
            yield 0

    def _group(self, masked: int) -> int:
        return 1 if self.ideal else max(2, min(self.maximum_unroll, masked // self.expected_tpf))

    def _forward(self, place: Place, kind: str, rows: int, committed: int) -> Forward:
        query = Rows(0 if kind == "prefill" else place.block_start, rows)
        head = query if kind == "refine" or not self.ideal else Rows(place.block_start, 0)
        return make_forward(place, kind, query, query.start + rows, head=head, committed=committed)
