"""Small networks that choose the rows to commit: neural indicators and learned unmasking policies.

Source of the indicator: imagination-research/NI-Sampling 552a626 ni_sampling/ni_generate.py, indicator.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import ClassVar

import attrs

from workloads.evidence import ABSTRACT_ONLY, CODE_RUN
from workloads.forwards import Forward
from workloads.schedules.base import BlockSchedule
from workloads.schedules.commits import Stream, drain
from workloads.schedules.logged import Logged
from workloads.schedules.options import option
from workloads.schedules.record import Place, make_forward


def indicator_weights(hidden: int = 4096, width: int = 768, depth: int = 5, top_k: int = 100, tokens: int = 4) -> int:
    """Weights of the published indicator's matrices.

    Projections of the last hidden state, of `tokens` token embeddings (the first on its own) and of the `top_k`
    largest probabilities to `width` each; then `depth` blocks, each with a fourfold expansion of its input.
    """
    inputs = 4 * width
    projections = (hidden + hidden + top_k + (tokens - 1) * hidden) * width
    first = inputs * 4 * inputs + 4 * inputs * width + inputs * width  # with a shortcut, as input and output differ
    others = (depth - 1) * 2 * width * 4 * width
    return projections + first + others + 2 * width


# At most 0.01 % of LLaDA-8B's 8.016 billion.
POLICY = 801_558


@attrs.frozen(kw_only=True)
class NiSamplingSchedule(Logged, BlockSchedule):
    """Whole-canvas forwards; an indicator network looks at every masked row, also beyond the current block.

    A forward commits at least one row of the block, those of the block that pass the confidence threshold, and
    those that pass the indicator, wherever they are; so counts are over the whole canvas.

    as "ideal": LM head over the generated rows and sampling of the masked ones, and no forward over a block that
    earlier ones have filled; "implemented": of the canvas, and one such forward, which has the count 0 in a log.
    """

    name: ClassVar[str] = "ni-sampling"
    kind: ClassVar[str] = "steps"
    evidence: ClassVar[str] = CODE_RUN
    source: ClassVar[str] = "ICLR 2026, openreview rrD1U0Izt5; imagination-research/NI-Sampling 552a626"

    threshold: float = attrs.field(default=0.95, metadata=option("least confidence to commit"))
    indicator_threshold: float = attrs.field(default=0.89, metadata=option("least output of the indicator to commit"))
    policy_parameters: int = attrs.field(
        default=indicator_weights(), metadata=option("weights of the indicator", minimum=1)
    )

    def forwards(self) -> Iterator[Forward]:
        """The forwards until no row is masked."""
        stream, masked = self.stream(), self.gen
        for index, committed in enumerate(self._counts(stream)):
            block = min((self.gen - masked) // self.block, self.blocks - 1)
            yield make_forward(
                Place(index, self.prompt + block * self.block, block, index),
                "full",
                self.canvas,
                self.canvas.count,
                head=self.response if self.ideal else self.canvas,
                sampled=masked if self.ideal else None,
                committed=committed,
                policy_parameters=self.policy_parameters,
                policy_rows=masked,
            )
            masked -= committed
        stream.finish()

    def _counts(self, stream: Stream) -> Iterator[int]:
        masked, wasteful = self.gen, bool(self.commits or self.counts) and not self.ideal
        stream.start_block()
        while masked:
            committed = stream.take(masked, least=0 if wasteful else 1).committed
            yield committed
            masked -= committed
        for _ in range(stream.idle(0, self.blocks) if wasteful else 0):
            yield stream.take(0).committed


@attrs.frozen(kw_only=True)
class LearnedPolicySchedule(Logged, BlockSchedule):
    """Whole-canvas forwards by blocks; a one-layer transformer over the confidences chooses the block's rows.

    With block equal to gen it is the paper's full diffusion. Policies that choose an order are of this form too.
    """

    name: ClassVar[str] = "learned-policy"
    kind: ClassVar[str] = "steps"
    evidence: ClassVar[str] = ABSTRACT_ONLY
    source: ClassVar[str] = "arXiv 2512.09106"

    policy_parameters: int = attrs.field(default=POLICY, metadata=option("weights of the policy", minimum=1))

    def forwards(self) -> Iterator[Forward]:
        """The forwards of all blocks in order."""
        stream = self.stream()
        for step in self.walk(partial(drain, stream)):
            yield self.full(step, policy_parameters=self.policy_parameters, policy_rows=self.block)
        stream.finish()
