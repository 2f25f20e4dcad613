"""Approximate joint sampling: behind each forward of the model, passes of one further layer unmask more tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import attrs

from workloads.evidence import ABSTRACT_ONLY
from workloads.forwards import Forward
from workloads.schedules.base import BlockSchedule
from workloads.schedules.options import option


@attrs.frozen(kw_only=True)
class JointSamplingSchedule(BlockSchedule):
    """Every forward commits one token: one of the model, then tokens - 1 of a sampler of one layer on top of it.

    The sampler's rows enter as embeddings; what they also take from the model's last layer is not counted.
    """

    name: ClassVar[str] = "joint-sampling"
    kind: ClassVar[str] = "steps"
    evidence: ClassVar[str] = ABSTRACT_ONLY
    source: ClassVar[str] = "arXiv 2509.22738"

    tokens: int = attrs.field(default=4, metadata=option("tokens for each forward of the model", minimum=1))

    def forwards(self) -> Iterator[Forward]:
        """The forwards of all blocks in order."""
        for step in self.walk(lambda masked: [1] * masked):
            light = step.place.step % self.tokens > 0
            yield self.full(step, network="sampler", layers=1) if light else self.full(step)
