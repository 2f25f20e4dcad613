"""Canvases of which some rows hold a token from the start: schema scaffolding and context-aware initialisation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import attrs

from workloads.evidence import ABSTRACT_ONLY
from workloads.forwards import Forward
from workloads.schedules.base import SteppedSchedule
from workloads.schedules.counts import transfer_counts
from workloads.schedules.options import option, refusal
from workloads.schedules.record import Place, Rows, make_forward


@attrs.frozen(kw_only=True)
class PrefilledSchedule(SteppedSchedule):
    """LLaDA by blocks in which `filled` rows of each block are given; steps shrink in the same proportion."""

    kind: ClassVar[str] = "steps"
    evidence: ClassVar[str] = ABSTRACT_ONLY

    filled: int = attrs.field(default=8, metadata=option("rows of a block filled beforehand", minimum=0))

    def _check(self) -> None:
        super()._check()
        if self.filled >= self.block:
            raise refusal(self, f"filled {self.filled} with block {self.block}", "fewer rows than a block has")

    def remaining_counts(self, masked: int) -> tuple[int, ...]:
        """Tokens committed by each forward of a block."""
        return transfer_counts(masked, -(-self.block_steps * masked // self.block))

    def forwards(self) -> Iterator[Forward]:
        """The forwards of all blocks in order."""
        for step in self.walk(self.remaining_counts, self.filled):
            yield self.full(step)


@attrs.frozen(kw_only=True)
class ScaffoldSchedule(PrefilledSchedule):
    """The tokens of a schema stand in the canvas from the start and count as given, not as generated."""

    name: ClassVar[str] = "schema-scaffold"
    source: ClassVar[str] = "arXiv 2507.04504; eric2i/dLLM-CtrlGen"


@attrs.frozen(kw_only=True)
class ContextInitSchedule(PrefilledSchedule):
    """An autoregressive helper drafts the answer; LLaDA keeps `filled` of its tokens a block and does the rest.

    The helper's forwards come first: over the prompt, then one for each further token. It has `init_layers`
    layers of the model's width. The default of `filled` gives the 35 % fewer forwards that the paper reports.
    """

    name: ClassVar[str] = "context-init"
    source: ClassVar[str] = "arXiv 2512.19004"

    prompt: int = attrs.field(metadata=option("prompt rows", minimum=1))
    filled: int = attrs.field(default=11, metadata=option("tokens of a block kept from the draft", minimum=0))
    init_layers: int = attrs.field(default=4, metadata=option("layers of the helper network", minimum=1))

    def forwards(self) -> Iterator[Forward]:
        """The helper's forwards and those of all blocks."""
        for index in range(self.gen):
            query = Rows(0, self.prompt) if index == 0 else Rows(self.prompt + index - 1, 1)
            end = query.start + query.count
            last = index == self.gen - 1
            yield make_forward(
                Place(index, end, index, 0),
                "decode" if index else "prefill",
                query,
                end,
                head=Rows(end - 1, 1),
                committed=self.filled * self.blocks if last else 0,
                provisional=1,
                network="initializer",
                layers=self.init_layers,
            )
        for forward in super().forwards():
            yield attrs.evolve(forward, index=self.gen + forward.index, block_index=self.gen + forward.block_index)
