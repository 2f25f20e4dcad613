"""MaskLLM: weights of which two in four are zero; the schedule is that of the model it is applied to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import attrs

from workloads.evidence import ABSTRACT_ONLY
from workloads.forwards import Forward
from workloads.schedules.llada import LladaSchedule
from workloads.schedules.options import option, refusal


@attrs.frozen(kw_only=True)
class MaskllmSchedule(LladaSchedule):
    """LLaDA's forwards through layers that hold `kept` of every `group` weights; the LM head stays dense.

    A stored weight has an index into its group.
    Published for autoregressive models; that a diffusion model keeps its quality is an assumption.
    """

    name: ClassVar[str] = "maskllm"
    kind: ClassVar[str] = "caching"
    evidence: ClassVar[str] = ABSTRACT_ONLY
    source: ClassVar[str] = "arXiv 2409.17481"

    kept: int = attrs.field(default=2, metadata=option("weights kept of a group", minimum=1))
    group: int = attrs.field(default=4, metadata=option("weights of a group", minimum=1))

    def _check(self) -> None:
        super()._check()
        if self.kept > self.group:
            raise refusal(self, f"kept {self.kept} of group {self.group}", "at most the group")

    def forwards(self) -> Iterator[Forward]:
        """LLaDA's forwards with that density."""
        for forward in super().forwards():
            index = (self.group - 1).bit_length() if self.kept < self.group else 0
            yield attrs.evolve(forward, weight_density=self.kept / self.group, index_bits=index)
