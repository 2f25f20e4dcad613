"""PSD and FeF: drafts of a diffusion model that the same model verifies."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import ClassVar

import attrs

from workloads.evidence import ABSTRACT_ONLY
from workloads.forwards import Forward
from workloads.schedules.base import BlockSchedule
from workloads.schedules.commits import drain
from workloads.schedules.guided import paired_counts
from workloads.schedules.logged import Logged
from workloads.schedules.options import option


@attrs.frozen(kw_only=True)
class PsdSchedule(Logged, BlockSchedule):
    """Each forward verifies the drafts that the one before proposed, as a batch, and proposes the next ones.

    There are min(depth, masked rows) drafts, each a step further than the one before it; the deepest that agrees
    with the new predictions is kept. A block's first forward has none to verify.
    """

    name: ClassVar[str] = "psd"
    kind: ClassVar[str] = "speculative"
    evidence: ClassVar[str] = ABSTRACT_ONLY
    source: ClassVar[str] = "arXiv 2605.15609"

    depth: int = attrs.field(default=4, metadata=option("drafts verified by a forward at most", minimum=1))

    def forwards(self) -> Iterator[Forward]:
        """The forwards of all blocks in order."""
        stream = self.stream()
        for step in self.walk(partial(drain, stream)):
            drafts = min(self.depth, step.masked) if step.place.step else 1
            checked = self.block if step.place.step else 0
            yield self.full(step, sequences=drafts, branches=drafts, committing=1, verified_rows=checked)
        stream.finish()


@attrs.frozen(kw_only=True)
class FefSchedule(Logged, BlockSchedule):
    """Pairs of forwards: one drafts the block's rows in parallel, one verifies them given what precedes each.

    Counts have 0 for the first of a pair.
    """

    name: ClassVar[str] = "fef"
    kind: ClassVar[str] = "speculative"
    evidence: ClassVar[str] = ABSTRACT_ONLY
    source: ClassVar[str] = "arXiv 2605.14305"

    def forwards(self) -> Iterator[Forward]:
        """The pairs of all blocks in order."""
        stream = self.stream()
        for step in self.walk(lambda masked: paired_counts(stream, masked)):
            drafts = step.place.step % 2 == 0
            yield self.full(step, provisional=step.masked if drafts else 0)
        stream.finish()
