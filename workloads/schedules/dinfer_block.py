"""dInfer on LLaDA2: block diffusion with exact K/V of finished blocks.

Source: inclusionAI/dInfer fce4e32 decoding/generate_uniform.py (BlockDiffusionLLM).
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import ClassVar

import attrs

from workloads.evidence import CODE_RUN
from workloads.schedules.block_causal import BlockCausalSchedule
from workloads.schedules.commits import Profile, Stream
from workloads.schedules.options import option

# Tokens per forward by (threshold, block): LLaDA2.0 report, mini model.
MEASURED = {(0.95, 32): "2.55", (0.85, 32): "3.31", (0.95, 16): "2.44"}


def measured(threshold: float, block: int) -> Profile | None:
    """The report's tokens per forward at this threshold and block."""
    mean = MEASURED.get((threshold, block))
    return None if mean is None else Profile(Fraction(mean), "LLaDA2.0 report, LLaDA2.0-mini")


@attrs.frozen(kw_only=True)
class DinferBlockSchedule(BlockCausalSchedule):
    """Block-causal threshold decoding in groups of forwards, between which the block is tested.

    A group has max(2, min(maximum_unroll, masks / expected_tpf)) forwards; where its last one still had masks,
    one more stores the block's K/V. as "ideal": groups of one forward.
    """

    name: ClassVar[str] = "dinfer-block"
    evidence: ClassVar[str] = CODE_RUN
    source: ClassVar[str] = "arXiv 2512.15745; inclusionAI/dInfer fce4e32"

    threshold: float = attrs.field(default=0.95, metadata=option("least confidence to commit"))
    maximum_unroll: int = attrs.field(default=4, metadata=option("forwards of a group at most", minimum=1))
    expected_tpf: int = attrs.field(default=8, metadata=option("masks that a group's forward counts for", minimum=1))

    @property
    def published(self) -> Profile | None:
        """The report's tokens per forward at this threshold and block."""
        return measured(self.threshold, self.block)

    def block_counts(self, stream: Stream, masked: int) -> Iterator[int]:
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
