"""SMDM: Dream's ancestor, over a context of fixed length, with classifier-free guidance.

Source: evaluation scripts of ML-GSAI/SMDM (583aa47), diff_sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import attrs

from workloads.evidence import CODE_RUN
from workloads.forwards import Forward
from workloads.schedules.dream import DreamSchedule
from workloads.schedules.options import option, refusal


@attrs.frozen(kw_only=True)
class SmdmSchedule(DreamSchedule):
    """Dream's time steps with a smaller last one; guidance sends each sequence a second time without its prompt.

    alg "greedy" commits int(masked * (1 - t[i+1] / t[i])) rows, "origin" each row with that probability. A row
    predicts its own token.
    """

    name: ClassVar[str] = "smdm"
    evidence: ClassVar[str] = CODE_RUN
    source: ClassVar[str] = "arXiv 2410.18514; ML-GSAI/SMDM 583aa47"
    counted: ClassVar[tuple[str, ...]] = ("greedy",)

    alg: str = attrs.field(
        default="greedy", metadata=option("how rows are chosen", choices=("origin", "greedy"))
    )
    eps: float = attrs.field(default=1e-5, metadata=option("last time step"))
    cfg_scale: float = attrs.field(
        default=2.0, metadata=option("classifier-free guidance; above 0 doubles the sequences")
    )

    def _check(self) -> None:
        super()._check()
        if not 0 <= self.cfg_scale < float("inf"):
            raise refusal(self, f"cfg-scale is {self.cfg_scale}", "a finite number of at least 0")

    def forwards(self) -> Iterator[Forward]:
        """The forwards, one a step."""
        for forward in super().forwards():
            head = self.prompt if self.ideal else 0
            guided = self.cfg_scale > 0
            yield attrs.evolve(forward, head_start=head, sequences=1 + guided, committing=1 if guided else None)
