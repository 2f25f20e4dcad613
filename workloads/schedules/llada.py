"""LLaDA's sampler with a fixed number of steps: pure or by blocks, without cache or with Fast-dLLM's caches.

Sources: ML-GSAI/LLaDA b7e6c35 generate.py (no cache); NVlabs/Fast-dLLM 24cc59e llada/generate.py (prefix, dual).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import attrs

from workloads.forwards import Forward, summarize
from workloads.schedules.counts import transfer_counts
from workloads.schedules.options import check_options, option, option_values, refusal


@attrs.frozen(kw_only=True)
class LladaSchedule:
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
    commit_source: ClassVar[None] = None
    unlowerable: ClassVar[None] = None

    prompt: int = attrs.field(metadata=option("prompt rows", minimum=0))
    gen: int = attrs.field(metadata=option("generated rows", minimum=1))
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
    as_: str = attrs.field(
        default="ideal",
        metadata=option("row counts without or with the reference code's waste", choices=("ideal", "implemented")),
    )

    def __attrs_post_init__(self) -> None:
        check_options(self)
        if self.gen % self.block:
            raise refusal(self, f"gen {self.gen} with block {self.block}", "gen to be a multiple of block")
        if self.steps % self.blocks:
            raise refusal(self, f"steps {self.steps} over {self.blocks} blocks", "a multiple of the number of blocks")
        if not 0 <= self.cfg_scale < float("inf"):
            raise refusal(self, f"cfg-scale is {self.cfg_scale}", "a finite number of at least 0")
        if self.as_ == "implemented" and self.cache != "none" and self.steps == self.blocks:
            found = f"one step a block with cache {self.cache}, which the reference code cannot run"
            raise refusal(self, found, "steps of at least twice the number of blocks, or as ideal")

    @property
    def blocks(self) -> int:
        """Number of blocks, generated left to right."""
        return self.gen // self.block

    @property
    def canvas(self) -> int:
        """Prompt and generated rows together."""
        return self.prompt + self.gen

    @property
    def sequences(self) -> int:
        """Sequences of one forward: guidance adds one with masked prompt to each."""
        return self.batch * (2 if self.cfg_scale > 0 else 1)

    @property
    def params(self) -> dict[str, Any]:
        """The resolved options."""
        return option_values(self)

    def describe(self) -> dict[str, Any]:
        """Name, options and totals."""
        return summarize(self)

    def block_commits(self) -> tuple[int, ...]:
        """Tokens committed by each forward of a block; the same for every block."""
        counts = transfer_counts(self.block, self.steps // self.blocks)
        if self.cache == "none":
            return counts
        needed = min(len(counts), self.block)
        # The reference tests for an empty block only after a refine forward, so there is always one.
        return counts[: max(needed, 2 if self.as_ == "implemented" else 1)]

    def forwards(self) -> Iterator[Forward]:
        """The forwards of all blocks in order."""
        commits = self.block_commits()
        for block in range(self.blocks):
            for step, committed in enumerate(commits):
                yield self._forward(block * len(commits) + step, block, step, committed)

    def _forward(self, index: int, block: int, step: int, committed: int) -> Forward:
        block_start = self.prompt + block * self.block
        kind, q_start, q_rows = self._query(block_start, step)
        ideal = self.as_ == "ideal"
        head_rows = self.block if ideal else q_rows
        return Forward(
            index=index,
            kind=kind,
            q_rows=q_rows,
            kv_rows=self.canvas,
            head_rows=head_rows,
            sampled_rows=head_rows,
            committed=committed,
            sequences=self.sequences,
            q_start=q_start,
            write_start=q_start,
            write_rows=q_rows,
            head_start=block_start if ideal else q_start,
            block_start=block_start,
            block_index=block,
            step_in_block=step,
        )

    def _query(self, block_start: int, step: int) -> tuple[str, int, int]:
        """(kind, first query row, query rows) of a step."""
        if self.cache == "none":
            return "full", 0, self.canvas
        if step == 0:
            return "warm", 0, self.canvas
        rows = self.block if self.cache == "dual" else self.canvas - block_start
        return "refine", block_start, rows
