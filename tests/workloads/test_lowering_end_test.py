"""Programs that test for the end of the text compare every sampled token with one number."""

from __future__ import annotations

from archsim.isa.program import Program
from tests.workloads.small_view import MODEL, SMALL
from tests.workloads.walk import walk
from workloads.lowering.generation import lower
from workloads.schedules import build_schedule


def differences(program: Program) -> int:
    """Integer subtractions in sampling phases."""
    sampling = {i for i, phase in enumerate(program.header.phases) if phase.operator == "sampling"}
    return sum(step.mnemonic == "S_SUB_INT" and step.phase in sampling for step in walk(program))


def test_a_difference_for_every_sampled_row() -> None:
    schedule = build_schedule("rho-eos", prompt=16, initial_gen=16, counts="4+8 4-8 8")
    forwards = list(schedule.forwards())
    assert all(forward.end_test for forward in forwards)
    assert differences(lower(MODEL, schedule, SMALL)) == sum(forward.sampled_rows for forward in forwards)


def test_no_differences_without_a_test() -> None:
    schedule = build_schedule("llada", prompt=16, gen=16, block=8, steps=4)
    assert differences(lower(MODEL, schedule, SMALL)) == 0
