"""Small networks that choose the rows to commit: neural indicators and learned unmasking policies.

Source of the indicator: imagination-research/NI-Sampling.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import ClassVar

import attrs

from workloads.evidence import ABSTRACT_ONLY, CODE_READ
from workloads.forwards import Forward
from workloads.schedules.base import BlockSchedule
from workloads.schedules.commits import drain
from workloads.schedules.logged import Logged
from workloads.schedules.options import option
from workloads.schedules.record import Place, make_forward

# Five linear layers of width 768 over last hidden state and token embedding (4096 each) and 100 probabilities;
# its three embeddings of further inputs are looked up, not multiplied.
INDICATOR = (2 * 4096 + 100) * 768 + 3 * 768 * 768 + 768
# At most 0.01 % of LLaDA-8B's 8.016 billion.
POLICY = 801_558


@attrs.frozen(kw_only=True)
class NiSamplingSchedule(Logged, BlockSchedule):
    """Whole-canvas forwards; an indicator network looks at every masked row, also beyond the current block.

    A forward commits the rows that the indicator or the confidence passes, wherever they are. The block only
    guides which row goes if none passes, so that counts are over the whole canvas.

    as "ideal": LM head over the generated rows and sampling of the masked ones; "implemented": of the canvas.
    """

    name: ClassVar[str] = "ni-sampling"
    kind: ClassVar[str] = "steps"
    evidence: ClassVar[str] = CODE_READ
    source: ClassVar[str] = "imagination-research/NI-Sampling"
    unlowerable: ClassVar[str | None] = "the indicator network has no program"

    threshold: float = attrs.field(default=0.95, metadata=option("least confidence to commit"))
    indicator_threshold: float = attrs.field(default=0.89, metadata=option("least output of the indicator to commit"))
    policy_parameters: int = attrs.field(default=INDICATOR, metadata=option("weights of the indicator", minimum=1))

    def forwards(self) -> Iterator[Forward]:
        """The forwards until no row is masked."""
        stream, masked = self.stream(), self.gen
        for index, committed in enumerate(drain(stream, self.gen)):
            block = (self.gen - masked) // self.block
            yield make_forward(
                Place(index, self.prompt + block * self.block, block, index),
                "full",
                self.canvas,
                self.canvas.count,
                head=self.response if self.ideal else self.canvas,
                sampled=masked if self.ideal else None,
                committed=committed,
                policy_parameters=self.policy_parameters,
            )
            masked -= committed
        stream.finish()


@attrs.frozen(kw_only=True)
class LearnedPolicySchedule(Logged, BlockSchedule):
    """Whole-canvas forwards by blocks; a one-layer transformer over the confidences chooses the block's rows.

    With block equal to gen it is the paper's full diffusion. Policies that choose an order are of this form too.
    """

    name: ClassVar[str] = "learned-policy"
    kind: ClassVar[str] = "steps"
    evidence: ClassVar[str] = ABSTRACT_ONLY
    source: ClassVar[str] = "arXiv 2512.09106"
    unlowerable: ClassVar[str | None] = "the policy network has no program"

    policy_parameters: int = attrs.field(default=POLICY, metadata=option("weights of the policy", minimum=1))

    def forwards(self) -> Iterator[Forward]:
        """The forwards of all blocks in order."""
        stream = self.stream()
        for step in self.walk(partial(drain, stream)):
            yield self.full(step, policy_parameters=self.policy_parameters)
        stream.finish()
