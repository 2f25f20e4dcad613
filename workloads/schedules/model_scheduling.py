"""Model scheduling: a lighter model denoises in the first and last steps, where it costs least quality."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import attrs

from workloads.evidence import PAPER_READ
from workloads.forwards import Forward
from workloads.schedules.llada import LladaSchedule
from workloads.schedules.options import option, refusal


@attrs.frozen(kw_only=True)
class ModelSchedulingSchedule(LladaSchedule):
    """LLaDA without cache; the shares `light_first` and `light_last` of the steps go through the light model.

    The light model has `light_layers` layers and weights of its own. The paper's have 4 and 12 layers, and 125 of
    1000 steps at either end are light.
    """

    name: ClassVar[str] = "model-scheduling"
    kind: ClassVar[str] = "steps"
    evidence: ClassVar[str] = PAPER_READ
    source: ClassVar[str] = "arXiv 2604.02340"

    light_layers: int = attrs.field(default=4, metadata=option("layers of the light model", minimum=1))
    light_first: float = attrs.field(default=0.125, metadata=option("share of the steps, from the first on"))
    light_last: float = attrs.field(default=0.125, metadata=option("share of the steps, up to the last"))

    def _check(self) -> None:
        super()._check()
        if self.cache != "none":
            raise refusal(self, f"cache {self.cache}, whose K/V are another model's", "cache none")
        if not (0 <= self.light_first <= 1 and 0 <= self.light_last <= 1 - self.light_first):
            found = f"light-first {self.light_first:g} and light-last {self.light_last:g}"
            raise refusal(self, found, "shares of 0 or more, together at most 1")

    def forwards(self) -> Iterator[Forward]:
        """LLaDA's forwards, some of them through the light model."""
        first, last = round(self.steps * self.light_first), self.steps - round(self.steps * self.light_last)
        for forward in super().forwards():
            light = not first <= forward.index < last
            yield attrs.evolve(forward, network="light", layers=self.light_layers) if light else forward
