"""Consistency-distilled decoding: few forwards over the whole canvas, of a model trained to need no more."""

from __future__ import annotations

from typing import ClassVar

import attrs

from workloads.evidence import ABSTRACT_ONLY
from workloads.schedules.llada import LladaSchedule
from workloads.schedules.options import option


@attrs.frozen(kw_only=True)
class ConsistencySchedule(LladaSchedule):
    """LLaDA's forwards in gen / 16 steps, after the speed-up of 16 that the abstract names."""

    name: ClassVar[str] = "consistency"
    kind: ClassVar[str] = "steps"
    evidence: ClassVar[str] = ABSTRACT_ONLY
    source: ClassVar[str] = "arXiv 2602.00792"

    steps: int = attrs.field(
        default=attrs.Factory(lambda self: max(self.gen // 16, self.gen // self.block), takes_self=True),
        metadata=option(
            "denoising steps over all blocks; default a sixteenth of gen, at least one a block",
            minimum=1,
            default="gen/16",
        ),
    )
