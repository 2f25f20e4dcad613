"""Guided diffusion of FlashDLM: a small autoregressive model says which proposed tokens may commit together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import attrs

from workloads.evidence import ABSTRACT_ONLY
from workloads.forwards import Forward
from workloads.schedules.base import BlockSchedule, Step
from workloads.schedules.commits import Stream
from workloads.schedules.logged import Logged
from workloads.schedules.options import option
from workloads.schedules.record import Rows, make_forward


@attrs.frozen(kw_only=True)
class GuidedSchedule(Logged, BlockSchedule):
    """Pairs of forwards: the model proposes tokens for the block, then the guider reads what was proposed.

    Rows on which both agree commit with the second one; counts have 0 for the first. The guider's K/V of what
    precedes the block are cached. It has `guider_layers` layers of the model's width: 6 of Dream-7B's hold as
    many weights as the 1.5-billion-parameter model that is published as guider.
    """

    name: ClassVar[str] = "guided-diffusion"
    kind: ClassVar[str] = "steps"
    evidence: ClassVar[str] = ABSTRACT_ONLY
    source: ClassVar[str] = "arXiv 2505.21467"

    guider_layers: int = attrs.field(default=6, metadata=option("layers of the guider", minimum=1))

    def forwards(self) -> Iterator[Forward]:
        """The pairs of all blocks in order."""
        stream = self.stream()
        for step in self.walk(lambda masked: paired_counts(stream, masked)):
            yield self.full(step) if step.place.step % 2 == 0 else self._guide(step)
        stream.finish()

    def _guide(self, step: Step) -> Forward:
        own = self.own(step.place)
        # Row p - 1 predicts the token at p; the row before the block is sent for the block's first token.
        query = Rows(max(own.start - 1, 0), own.count)
        return make_forward(
            step.place,
            "refine",
            query,
            query.start + query.count,
            committed=step.committed,
            network="guider",
            layers=self.guider_layers,
            causal_rows=1,
        )


def paired_counts(stream: Stream, masked: int) -> Iterator[int]:
    """0 and the count of every pair of forwards, at least 1, until no row of the block is masked."""
    stream.start_block()
    while masked:
        stream.take(masked, most=0)
        yield 0
        committed = stream.take(masked, least=1).committed
        yield committed
        masked -= committed
