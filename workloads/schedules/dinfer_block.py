"""dInfer on LLaDA2: block diffusion with exact K/V of finished blocks.

Source: inclusionAI/dInfer fce4e32 decoding/generate_uniform.py (BlockDiffusionLLM).
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, ClassVar

import attrs

from workloads.forwards import Forward, summarize
from workloads.schedules.commits import (
    Profile,
    Stream,
    check_commits,
    commit_stream,
    counts_field,
    log_field,
    seed_field,
    source_text,
)
from workloads.schedules.options import check_options, option, option_values
from workloads.schedules.record import Place, Rows, make_forward

# Tokens per forward by (threshold, block): LLaDA2.0 report, mini model.
MEASURED = {(0.95, 32): "2.55", (0.85, 32): "3.31", (0.95, 16): "2.44"}


@attrs.frozen(kw_only=True)
class DinferBlockSchedule:
    """Attention is causal between blocks: the prompt's whole blocks are computed once, then block after block.

    Forwards run in groups of max(2, min(maximum_unroll, masks / expected_tpf)) before the block is tested; where
    a group's last forward still had masks, one more stores the block's K/V. Generation runs to the end of the
    last block begun, so up to block - 1 further tokens are made. A prompt shorter than a block is computed with
    the masks behind it.

    as "ideal": groups of one forward; LM head and sampling over the block, none for prompt and store.
    """

    name: ClassVar[str] = "dinfer-block"
    unlowerable: ClassVar[str] = "forwards that store K/V have no LM-head rows, and attention is causal by blocks"

    prompt: int = attrs.field(metadata=option("prompt rows", minimum=1))
    gen: int = attrs.field(metadata=option("generated rows", minimum=1))
    block: int = attrs.field(default=32, metadata=option("rows of a block", minimum=1))
    threshold: float = attrs.field(default=0.95, metadata=option("least confidence to commit"))
    maximum_unroll: int = attrs.field(default=4, metadata=option("forwards of a group at most", minimum=1))
    expected_tpf: int = attrs.field(default=8, metadata=option("masks that a group's forward counts for", minimum=1))
    as_: str = attrs.field(
        default="ideal",
        metadata=option("row counts without or with the reference code's waste", choices=("ideal", "implemented")),
    )
    commits: str = log_field()
    counts: str = counts_field()
    seed: int = seed_field()

    def __attrs_post_init__(self) -> None:
        check_options(self)
        check_commits(self)

    @property
    def published(self) -> Profile | None:
        """The report's tokens per forward at this threshold and block."""
        mean = MEASURED.get((self.threshold, self.block))
        return None if mean is None else Profile(Fraction(mean), "LLaDA2.0 report, LLaDA2.0-mini")

    @property
    def commit_source(self) -> str:
        """Where the commit counts come from."""
        return source_text(self)

    @property
    def params(self) -> dict[str, Any]:
        """The resolved options."""
        return option_values(self)

    def describe(self) -> dict[str, Any]:
        """Name, options and totals."""
        return summarize(self)

    def forwards(self) -> Iterator[Forward]:
        """The prompt's forward and those of all blocks."""
        stream = commit_stream(self)
        first, last = self.prompt // self.block, -(-(self.prompt + self.gen) // self.block)
        stream.take(0)
        yield self._forward(Place(0, first * self.block, 0, 0), "prefill", max(first, 1) * self.block, 0)
        index = 1
        for block in range(first, last):
            masked = self.block - (self.prompt % self.block if block == first else 0)
            stream.start_block()
            for step, committed in enumerate(self._block_counts(stream, masked)):
                place = Place(index, block * self.block, block - first, step)
                yield self._forward(place, "refine" if masked else "store", self.block, committed)
                index, masked = index + 1, masked - committed
        stream.finish()

    def _block_counts(self, stream: Stream, masked: int) -> Iterator[int]:
        """Commits of a block's forwards; those of forwards over the finished block, which store it, are 0."""
        stored = False
        while masked:
            for _ in range(self._group(masked)):
                stored = masked == 0
                committed = stream.take(masked, least=min(1, masked)).committed
                yield committed
                masked -= committed
        if not stored:
            stream.take(0)
            yield 0

    def _group(self, masked: int) -> int:
        return 1 if self.as_ == "ideal" else max(2, min(self.maximum_unroll, masked // self.expected_tpf))

    def _forward(self, place: Place, kind: str, rows: int, committed: int) -> Forward:
        query = Rows(0 if kind == "prefill" else place.block_start, rows)
        head = query if kind == "refine" or self.as_ == "implemented" else Rows(place.block_start, 0)
        return make_forward(place, kind, query, query.start + rows, head=head, committed=committed)
