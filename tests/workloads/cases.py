"""Programs of schedules on the small machine, each lowered when a test first asks; schedules made by hand."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, ClassVar

import attrs

from archsim.isa.program import Program
from tests.workloads.small_view import MODEL, SMALL
from tests.workloads.streams import by_forward
from tests.workloads.walk import Step
from workloads.forwards import Forward, Schedule, summarize
from workloads.lowering.generation import lower
from workloads.lowering.plan.machine_view import MachineView
from workloads.schedules import build_schedule
from workloads.shape import ModelShape


@attrs.frozen(eq=False, slots=False)
class Case:
    """A schedule, and what becomes of it on a machine; what costs time is made once."""

    schedule: Schedule
    model: ModelShape = MODEL
    view: MachineView = SMALL

    @cached_property
    def forwards(self) -> list[Forward]:
        return list(self.schedule.forwards())

    @cached_property
    def program(self) -> Program:
        return lower(self.model, self.schedule, self.view)

    @cached_property
    def steps(self) -> list[list[Step]]:
        """The executed instructions of every forward."""
        return by_forward(self.program)


def case(name: str, model: ModelShape = MODEL, view: MachineView = SMALL, **options: Any) -> Case:
    """The case of a schedule by name, with its options."""
    return Case(build_schedule(name, **options), model, view)


@attrs.frozen
class Scripted:
    """A schedule of forwards made by hand, with counts that are fixed."""

    name: ClassVar[str] = "scripted"
    kind: ClassVar[str] = "core"
    evidence: ClassVar[str] = "code run"
    source: ClassVar[str] = "a test"
    made: tuple[Forward, ...]
    commit_source: str | None = None
    unlowerable: str | None = None

    @property
    def params(self) -> dict[str, Any]:
        return {}

    def forwards(self) -> Iterator[Forward]:
        return iter(self.made)

    def describe(self) -> dict[str, Any]:
        return summarize(self)


def scripted(*forwards: Forward) -> Schedule:
    return Scripted(forwards)


def with_first(**changes: Any) -> Schedule:
    """LLaDA in a small configuration with its first forward changed."""
    first, *others = build_schedule("llada", prompt=16, gen=16, steps=4).forwards()
    return scripted(attrs.evolve(first, **changes), *others)
