"""Phases own time from the last retirement before to their own; on-chip memory knows what was loaded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsim.components.residency import Residency
from archsim.isa.program import PhaseInfo
from archsim.kernel.observer import Observer
from archsim.run import simulate
from tests.system.small import FIRST, Run, integers, machine, program, read_cycles, run, serial

HEADER = {"phases": (PhaseInfo("load", "warm", "x"), PhaseInfo("work", "warm", "y"))}


def times(done: Run) -> dict[str, int]:
    return {phase.name: phase.time_ps // 1000 for phase in done.result.phases}


def test_serial_phases_are_the_sums_of_their_instructions() -> None:
    text = "V_EXP_V gp0, gp0\nC_PHASE 0\nH_PREFETCH_V gp0, gp0, a0\nC_PHASE 1\nV_PS_V gp0, gp0\nM_MM gp0, gp0"
    assert times(serial(text, **HEADER)) == {"start": 1, "load": read_cycles(1056), "work": 9 + 8}


def test_a_phase_starts_where_the_one_before_has_retired() -> None:
    """The first line comes unmarked. The load ends 143 cycles later; the work, dispatched in the next cycle, waits."""
    text = "C_PHASE 0\nH_PREFETCH_V gp0, gp0, a0\nC_PHASE 1\nV_PS_V gp0, gp0"
    assert times(run(text, **HEADER)) == {"start": FIRST, "load": 143, "work": 9}


def test_work_hidden_behind_the_phase_before_adds_nothing() -> None:
    text = integers(gp1=4096) + "C_PHASE 0\nH_PREFETCH_V gp0, gp0, a0\nC_PHASE 1\nV_PS_V gp1, gp1"
    done = run(text, **HEADER)
    assert times(done) == {"start": FIRST + 1, "load": 143, "work": 0}
    assert done.cycles == FIRST + 1 + 143


def test_phases_add_up_over_their_occurrences() -> None:
    text = "C_LOOP_START gp1, 3\nC_PHASE 0\nV_EXP_V gp0, gp0\nC_PHASE 1\nV_PS_V gp0, gp0\nC_LOOP_END gp1"
    done = serial(text, **HEADER)
    start, load, work = done.result.phases
    assert (start.count, load.count, work.count) == (1, 3, 3)
    assert (start.time_ps, load.time_ps, work.time_ps) == (1000, 3000, 3 * 10_000)
    # C_LOOP_END stands behind the second marker.
    assert (start.instructions, load.instructions, work.instructions) == (1, 3, 6)
    assert (load.vector_cycles, work.vector_cycles) == (3, 27)


class Ends(Observer):
    """Every phase that ended, in order."""

    def __init__(self) -> None:
        self.ends: list[tuple[int, int, int]] = []

    def phase(self, core: int, phase: int, start_ps: int, end_ps: int) -> None:
        self.ends.append((phase, start_ps // 1000, end_ps // 1000))


def test_observers_see_phases_end_in_program_order() -> None:
    ends = Ends()
    text = "C_PHASE 0\nV_EXP_V gp0, gp0\nC_PHASE 1\nV_PS_V gp0, gp0\nC_PHASE 0\nV_EXP_V gp0, gp0"
    simulate(program(text, **HEADER), machine(), issue="serial", observers=(ends,))
    assert ends.ends == [(-1, 0, 0), (0, 0, 1), (1, 1, 10), (0, 10, 11)]


@pytest.mark.parametrize(
    ("low", "high", "missing"), [(0, 10, 0), (30, 50, None), (20, 40, 20), (45, 61, 60), (50, 70, 60), (25, 30, 25)]
)
def test_what_was_loaded_is_known_by_grain(low: int, high: int, missing: int | None) -> None:
    """Grains of 10: [33, 57) marks the grains from 30 to 60."""
    memory = Residency(100, 10)
    memory.write(33, 57)
    assert memory.missing(low, high) == missing


@given(writes=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=6), low=st.integers(0, 9))
def test_whole_grains_are_remembered_exactly(writes: list[tuple[int, int]], low: int) -> None:
    memory, known = Residency(100, 10), set()
    for first, last in writes:
        memory.write(10 * first, 10 * max(first, last) + 10)
        known |= set(range(first, max(first, last) + 1))
    missing = [grain for grain in range(low, 10) if grain not in known]
    assert memory.missing(10 * low, 100) == (10 * missing[0] if missing else None)
    assert known.issuperset(range(memory.low // 10, memory.high // 10))
