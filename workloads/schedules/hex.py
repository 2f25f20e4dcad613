"""HEX: several runs of LLaDA with different blocks; a vote over their answers decides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import attrs

from workloads.evidence import ABSTRACT_ONLY
from workloads.forwards import Forward
from workloads.schedules.base import CanvasSchedule, steps_field
from workloads.schedules.llada import LladaSchedule
from workloads.schedules.options import option, refusal


@attrs.frozen(kw_only=True)
class HexSchedule(CanvasSchedule):
    """Runs one after another, `votes` for each block size; the last one's tokens stand for those of the answer.

    Tokens of the other runs are provisional. Which block sizes were published is not known here.
    """

    name: ClassVar[str] = "hex"
    kind: ClassVar[str] = "steps"
    evidence: ClassVar[str] = ABSTRACT_ONLY
    source: ClassVar[str] = "arXiv 2510.05040"

    steps: int = steps_field()
    block_sizes: str = attrs.field(default="8 16 32 64", metadata=option("block sizes of the runs", words=True))
    votes: int = attrs.field(default=1, metadata=option("runs with each block size", minimum=1))

    def _check(self) -> None:
        super()._check()
        words = self.block_sizes.replace(",", " ").split()
        if not words or not all(word.isdecimal() and int(word) > 0 for word in words):
            raise refusal(self, f"block-sizes is {self.block_sizes!r}", "block sizes such as 8 16 32")
        self._runs()

    def _runs(self) -> list[LladaSchedule]:
        sizes = [int(word) for word in self.block_sizes.replace(",", " ").split()]
        runs = [
            LladaSchedule(prompt=self.prompt, gen=self.gen, block=size, steps=self.steps, as_=self.as_)
            for size in sizes
        ]
        return [run for run in runs for _ in range(self.votes)]

    def forwards(self) -> Iterator[Forward]:
        """The forwards of all runs; blocks are numbered on from run to run."""
        index = blocks = 0
        runs = self._runs()
        for number, run in enumerate(runs):
            decides = number == len(runs) - 1
            for forward in run.forwards():
                numbered = attrs.evolve(forward, index=index, block_index=blocks + forward.block_index)
                if not decides:
                    numbered = attrs.evolve(numbered, committed=0, provisional=forward.committed)
                yield numbered
                index += 1
            blocks += run.blocks
