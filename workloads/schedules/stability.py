"""Stability-weighted decoding: scores weighted by how little a row's distribution changed since the step before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import attrs

from workloads.evidence import ABSTRACT_ONLY
from workloads.forwards import Forward
from workloads.schedules.llada import LladaSchedule


@attrs.frozen(kw_only=True)
class StabilitySchedule(LladaSchedule):
    """LLaDA's forwards; the probabilities of the sampled rows are kept and compared with the next forward's.

    A block's first forward has none to compare with, unless as "implemented" the whole canvas has them.
    """

    name: ClassVar[str] = "stability-weighted"
    kind: ClassVar[str] = "steps"
    evidence: ClassVar[str] = ABSTRACT_ONLY
    source: ClassVar[str] = "Stability-Weighted Decoding for diffusion language models"

    def forwards(self) -> Iterator[Forward]:
        """LLaDA's forwards with the rows compared."""
        for forward in super().forwards():
            known = forward.step_in_block if self.ideal else forward.index
            yield attrs.evolve(forward, score="stability", compared_rows=forward.sampled_rows if known else 0)
