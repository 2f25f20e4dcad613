"""dParallel on LLaDA: no cache, all rows of the block whose entropy is low enough commit together.

Source: czg1225/dParallel 2ca4d14 LLaDA/generate.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, ClassVar

import attrs

from workloads.forwards import Forward, summarize
from workloads.schedules.commits import (
    Profile,
    check_commits,
    commit_stream,
    counts_field,
    log_field,
    seed_field,
    source_text,
)
from workloads.schedules.options import check_options, option, option_values
from workloads.schedules.record import Place, Rows, check_blocks, make_forward

MEASURED = Profile(Fraction(256, 30), "dParallel, GSM8K: 256 tokens in 30 forwards, block 32, entropy 0.5")


@attrs.frozen(kw_only=True)
class DparallelSchedule:
    """Whole-canvas forwards by blocks; each commits the block's rows of low entropy, at least one.

    as "ideal": LM head and sampling over the block's rows; "implemented": over the canvas.
    """

    name: ClassVar[str] = "dparallel"
    unlowerable: ClassVar[str] = "rows are chosen by entropy, which the sampling phase does not compute"

    prompt: int = attrs.field(metadata=option("prompt rows", minimum=0))
    gen: int = attrs.field(metadata=option("generated rows", minimum=1))
    block: int = attrs.field(default=32, metadata=option("rows of a block", minimum=1))
    threshold: float = attrs.field(default=0.5, metadata=option("largest entropy to commit, in nats"))
    as_: str = attrs.field(
        default="ideal",
        metadata=option("row counts without or with the reference code's waste", choices=("ideal", "implemented")),
    )
    commits: str = log_field()
    counts: str = counts_field()
    seed: int = seed_field()

    def __attrs_post_init__(self) -> None:
        check_options(self)
        check_blocks(self, self.gen, self.block)
        check_commits(self)

    @property
    def published(self) -> Profile | None:
        """The README's forwards for GSM8K, at the default threshold."""
        return MEASURED if self.threshold == 0.5 else None

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
        """The forwards of all blocks in order."""
        stream = commit_stream(self)
        canvas = Rows(0, self.prompt + self.gen)
        index = 0
        for block in range(self.gen // self.block):
            stream.start_block()
            own = Rows(self.prompt + block * self.block, self.block)
            step, masked = 0, self.block
            while masked:
                committed = stream.take(masked, least=1).committed
                place = Place(index, own.start, block, step)
                head = own if self.as_ == "ideal" else canvas
                yield make_forward(place, "full", canvas, canvas.count, head=head, committed=committed)
                index, step, masked = index + 1, step + 1, masked - committed
        stream.finish()
