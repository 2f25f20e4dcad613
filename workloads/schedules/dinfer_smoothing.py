"""dInfer's iteration smoothing: masked rows enter as a mixture of what was predicted for them.

Source: inclusionAI/dInfer fce4e32 decoding/generate_uniform.py (IterSmoothWithVicinityCache).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import attrs

from workloads.evidence import CODE_READ
from workloads.forwards import Forward
from workloads.schedules.dinfer import DinferSchedule
from workloads.schedules.record import Place


@attrs.frozen(kw_only=True)
class DinferSmoothingSchedule(DinferSchedule):
    """dInfer's iterations; the block's masked rows enter as mask embedding + weight * softmax(logits) * embedding.

    That is a product of those rows' probabilities with the whole embedding, in every forward of a block but its
    first, before which nothing was predicted. as "implemented" the masked rows behind the block that the cache
    sends along are mixed as well, also in the first forward of the next block.
    """

    name: ClassVar[str] = "iteration-smoothing"
    evidence: ClassVar[str] = CODE_READ

    def forwards(self) -> Iterator[Forward]:
        """dInfer's forwards, each with the rows that enter as mixtures."""
        masked = ahead = 0  # masked rows of the block; rows behind it that were mixed in the forward before
        for forward in super().forwards():
            if forward.step_in_block == 0:
                masked, soft = self.block, ahead
            else:
                soft = masked + ahead
            if not self.ideal:
                window = self._window(Place(0, forward.block_start, 0, 0))
                ahead = window.start + window.count - forward.block_start - self.block
            masked -= forward.committed
            yield attrs.evolve(forward, soft_rows=soft)
