"""dParallel on LLaDA: no cache, all rows of the block whose entropy is low enough commit together.

Source: czg1225/dParallel 2ca4d14 LLaDA/generate.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from typing import ClassVar

import attrs

from workloads.evidence import CODE_RUN
from workloads.forwards import Forward
from workloads.schedules.base import BlockSchedule
from workloads.schedules.commits import Profile, drain
from workloads.schedules.logged import Logged
from workloads.schedules.options import option

MEASURED = Profile(Fraction(256, 30), "dParallel, GSM8K: 256 tokens in 30 forwards, block 32, entropy 0.5")


@attrs.frozen(kw_only=True)
class DparallelSchedule(Logged, BlockSchedule):
    """Whole-canvas forwards by blocks; each commits the block's rows of low entropy, at least one.

    as "ideal": LM head and sampling over the block's rows; "implemented": over the canvas.
    """

    name: ClassVar[str] = "dparallel"
    kind: ClassVar[str] = "steps"
    evidence: ClassVar[str] = CODE_RUN
    source: ClassVar[str] = "arXiv 2509.26488; czg1225/dParallel 2ca4d14"

    threshold: float = attrs.field(default=0.5, metadata=option("largest entropy to commit, in nats"))

    @property
    def published(self) -> Profile | None:
        """The README's forwards for GSM8K, at the default threshold."""
        return MEASURED if self.threshold == 0.5 else None

    def forwards(self) -> Iterator[Forward]:
        """The forwards of all blocks in order."""
        stream = self.stream()
        for step in self.walk(partial(drain, stream)):
            yield self.full(step, score="entropy")
        stream.finish()
