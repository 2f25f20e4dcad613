"""LLaDA's sampler with a fixed number of steps: pure or by blocks, without cache or with Fast-dLLM's caches.

Sources: ML-GSAI/LLaDA b7e6c35 generate.py (no cache); NVlabs/Fast-dLLM 24cc59e llada/generate.py (prefix, dual).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import attrs

from workloads.evidence import CODE_RUN
from workloads.forwards import Forward
from workloads.schedules.base import SteppedSchedule
from workloads.schedules.options import option, refusal
from workloads.schedules.record import Place, Rows, make_forward


@attrs.frozen(kw_only=True)
class LladaSchedule(SteppedSchedule):
    """Masked denoising of `gen` tokens behind a prompt, block by block, with static commit counts.

    cache "none": every forward sends the whole canvas; all `steps` run, even those that commit nothing.
    cache "prefix": a block's first forward ("warm") sends the canvas, later ones ("refine") the rows from
    the block's start to the end of the canvas. cache "dual": later ones send the block only; its K/V are
    overwritten in place. With a cache, a block ends once it holds no mask.

    as "ideal": the LM head and sampling take the block's rows. as "implemented": they take all query rows,
    a cached block never has fewer than two forwards, and one step a block is refused, since the reference
    fails there. `sequences` counts both halves of classifier-free guidance. Raises WorkloadError for
    combinations that cannot be run.
    """

    name: ClassVar[str] = "llada"
    kind: ClassVar[str] = "core"
    evidence: ClassVar[str] = CODE_RUN
    source: ClassVar[str] = "arXiv 2502.09992; ML-GSAI/LLaDA b7e6c35; NVlabs/Fast-dLLM 24cc59e"

    block: int = attrs.field(
        default=attrs.Factory(lambda self: self.gen, takes_self=True),
        metadata=option("rows of a block; default gen, which is pure diffusion", minimum=1),
    )
    steps: int = attrs.field(
        default=attrs.Factory(lambda self: self.gen, takes_self=True),
        metadata=option("denoising steps over all blocks; default gen", minimum=1),
    )
    cache: str = attrs.field(default="none", metadata=option("KV cache", choices=("none", "prefix", "dual")))
    batch: int = attrs.field(default=1, metadata=option("sequences generated together", minimum=1))
    remasking: str = attrs.field(
        default="low_confidence",
        metadata=option("how rows are chosen; random needs no softmax", choices=("low_confidence", "random")),
    )
    cfg_scale: float = attrs.field(
        default=0.0, metadata=option("classifier-free guidance; above 0 doubles the sequences")
    )

    def _check(self) -> None:
        super()._check()
        if not 0 <= self.cfg_scale < float("inf"):
            raise refusal(self, f"cfg-scale is {self.cfg_scale}", "a finite number of at least 0")
        if not self.ideal and self.cache != "none" and self.block_steps == 1:
            found = f"one step a block with cache {self.cache}, which the reference code cannot run"
            raise refusal(self, found, "steps of at least twice the number of blocks, or as ideal")

    @property
    def sequences(self) -> int:
        """Sequences of one forward: guidance adds one with masked prompt to each."""
        return self.batch * (2 if self.cfg_scale > 0 else 1)

    def block_commits(self) -> tuple[int, ...]:
        """Tokens committed by each forward of a block; the same for every block."""
        counts = self.static_counts(self.block)
        if self.cache == "none":
            return counts
        needed = min(len(counts), self.block)
        # The reference tests for an empty block only after a refine forward, so there is always one.
        return counts[: max(needed, 2 if not self.ideal else 1)]

    def forwards(self) -> Iterator[Forward]:
        """The forwards of all blocks in order."""
        commits = self.block_commits()
        for step in self.walk(lambda _: commits):
            kind, query = self._query(step.place)
            head = self.own(step.place) if self.ideal else query
            yield make_forward(
                step.place,
                kind,
                query,
                self.canvas.count,
                head=head,
                committed=step.committed,
                sequences=self.sequences,
                committing=self.batch if self.cfg_scale > 0 else None,
                score="random" if self.remasking == "random" else "confidence",
            )

    def _query(self, place: Place) -> tuple[str, Rows]:
        """(kind, query rows) of a step."""
        if self.cache == "none":
            return "full", self.canvas
        if place.step == 0:
            return "warm", self.canvas
        return "refine", self.own(place) if self.cache == "dual" else self.rest(place)
