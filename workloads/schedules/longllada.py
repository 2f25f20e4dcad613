"""LongLLaDA: LLaDA beyond the context that it was trained with, by another base of the rotary positions."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import attrs

from workloads.evidence import PAPER_READ
from workloads.forwards import summarize
from workloads.schedules.llada import LladaSchedule
from workloads.schedules.options import option, refusal


@attrs.frozen(kw_only=True)
class LongLladaSchedule(LladaSchedule):
    """LLaDA's forwards over a longer canvas; only the constants of the rotary positions differ.

    `scaling` multiplies the base of the rotary positions (NTK-aware scaling). By default it is what brings the
    longest wave that `trained` positions saw completely to the length of the canvas: with base b, head dimension
    d and critical dimension c = 2 ceil(d / 2 log_b(trained / 2 pi)), scaling * b = (canvas / 2 pi) ** (d / c).
    """

    name: ClassVar[str] = "longllada"
    evidence: ClassVar[str] = PAPER_READ
    source: ClassVar[str] = "arXiv 2506.14429; the scaling as stated in arXiv 2510.10481"

    trained: int = attrs.field(default=4096, metadata=option("positions that the model was trained with", minimum=64))
    rope_base: float = attrs.field(default=500000.0, metadata=option("base of the rotary positions"))
    rope_dim: int = attrs.field(default=128, metadata=option("dimensions that positions rotate", minimum=2))
    scaling: float = attrs.field(default=0.0, metadata=option("factor of the base; 0: what the canvas needs"))

    def _check(self) -> None:
        super()._check()
        if self.scaling and not 1 <= self.scaling < float("inf"):
            raise refusal(self, f"scaling is {self.scaling:g}", "at least 1, or 0")
        if not 1 < self.rope_base < float("inf"):
            raise refusal(self, f"rope-base is {self.rope_base:g}", "a finite number above 1")

    @property
    def rope_theta(self) -> float:
        """The base in use."""
        if self.scaling:
            return self.rope_base * self.scaling
        half = self.rope_dim / 2
        critical = 2 * math.ceil(half * math.log(self.trained / (2 * math.pi), self.rope_base))
        needed = (self.canvas.count / (2 * math.pi)) ** (self.rope_dim / critical)
        return float(max(self.rope_base, needed))

    def describe(self) -> dict[str, Any]:
        """Name, options and totals, with the base in use."""
        return {**summarize(self), "rope_theta": round(self.rope_theta)}
