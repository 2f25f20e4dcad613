"""What schedules have in common, to inherit: options that many take, and what follows from them."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

import attrs

from workloads.forwards import Forward, summarize
from workloads.schedules.counts import transfer_counts
from workloads.schedules.options import check_options, option, option_values, refusal
from workloads.schedules.record import Place, Rows, make_forward


@attrs.frozen(kw_only=True)
class ScheduleBase(abc.ABC):
    """Behaviour that every schedule has; a subclass adds options and `forwards`."""

    name: ClassVar[str]
    kind: ClassVar[str]
    """"core", "caching", "steps" or "speculative"."""
    evidence: ClassVar[str]
    source: ClassVar[str]
    """Publication or repository and commit."""
    unlowerable: ClassVar[str | None] = None

    def __attrs_post_init__(self) -> None:
        self._check()

    def _check(self) -> None:
        """Raise WorkloadError for options that cannot be; subclasses call this one before they look at theirs."""
        check_options(self)

    @abc.abstractmethod
    def forwards(self) -> Iterator[Forward]:
        """The forwards in order, made one at a time."""

    @property
    def commit_source(self) -> str | None:
        """Where commit counts that depend on data come from; None: the options fix them."""
        return None

    @property
    def params(self) -> dict[str, Any]:
        """The resolved options."""
        return option_values(self)

    def describe(self) -> dict[str, Any]:
        """Name, options and totals."""
        return summarize(self)


@attrs.frozen
class Step:
    """A step of a block: where, the block's masked rows before it, and what it commits."""

    place: Place
    masked: int
    committed: int


def as_field() -> Any:
    """The option `as`: what a method needs, or what its reference code does."""
    return attrs.field(
        default="ideal",
        metadata=option(
            "row counts without or with the reference code's waste", choices=("ideal", "implemented"), last=True
        ),
    )


@attrs.frozen(kw_only=True)
class CanvasSchedule(ScheduleBase):
    """A prompt and `gen` masked rows behind it.

    as "ideal": logits and sampling of the rows that may commit; "implemented": the row counts of the reference.
    """

    prompt: int = attrs.field(metadata=option("prompt rows", minimum=0))
    gen: int = attrs.field(metadata=option("generated rows", minimum=1))
    as_: str = as_field()

    @property
    def canvas(self) -> Rows:
        """Prompt and generated rows."""
        return Rows(0, self.prompt + self.gen)

    @property
    def response(self) -> Rows:
        """The generated rows."""
        return Rows(self.prompt, self.gen)

    @property
    def ideal(self) -> bool:
        """Whether the reference code's waste is left out."""
        return self.as_ == "ideal"


@attrs.frozen(kw_only=True)
class BlockSchedule(CanvasSchedule):
    """Generated rows in blocks, left to right."""

    block: int = attrs.field(default=32, metadata=option("rows of a block", minimum=1))

    def _check(self) -> None:
        super()._check()
        if self.gen % self.block:
            raise refusal(self, f"gen {self.gen} with block {self.block}", "gen to be a multiple of block")

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return self.gen // self.block

    def own(self, place: Place) -> Rows:
        """The rows of the place's block."""
        return Rows(place.block_start, self.block)

    def rest(self, place: Place) -> Rows:
        """The rows from the place's block to the end of the canvas."""
        return Rows(place.block_start, self.canvas.count - place.block_start)

    def full(self, step: Step, **fields: Any) -> Forward:
        """That step as a forward over the canvas; logits of the block's rows, or as implemented of all rows."""
        fields = {"head": self.own(step.place) if self.ideal else self.canvas, "committed": step.committed, **fields}
        return make_forward(step.place, "full", self.canvas, self.canvas.count, **fields)

    def walk(self, counts: Callable[[int], Iterable[int]], filled: int = 0) -> Iterator[Step]:
        """Steps of all blocks; `counts` makes the commits of a block's forwards from its masked rows.

        `filled` rows of each block hold a token from the start.
        """
        index = 0
        for block in range(self.blocks):
            masked = self.block - filled
            for step, committed in enumerate(counts(masked)):
                yield Step(Place(index, self.prompt + block * self.block, block, step), masked, committed)
                index, masked = index + 1, masked - committed


def steps_field() -> Any:
    """The option `steps`, by default a step for each token."""
    return attrs.field(
        default=attrs.Factory(lambda self: self.gen, takes_self=True),
        metadata=option("denoising steps over all blocks; default gen", minimum=1),
    )


@attrs.frozen(kw_only=True)
class SteppedSchedule(BlockSchedule):
    """Blocks with a fixed number of steps each, over which their tokens are split evenly."""

    steps: int = steps_field()

    def _check(self) -> None:
        super()._check()
        if self.steps % self.blocks:
            found = f"steps {self.steps} over {self.blocks} blocks"
            raise refusal(self, found, "a multiple of the number of blocks")

    @property
    def block_steps(self) -> int:
        """Steps of one block."""
        return self.steps // self.blocks

    def static_counts(self, masked: int) -> tuple[int, ...]:
        """Tokens committed by each step of a block."""
        return transfer_counts(masked, self.block_steps)
