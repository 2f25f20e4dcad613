"""Values of timed runs: those of the interpreter, whatever the machine; and a missed hazard shows."""

from __future__ import annotations

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from archsim import MachineParams, simulate
from archsim.components.operation import Operation
from archsim.components.scoreboard import SpaceBoard
from archsim.errors import ArchsimError, ConfigError
from tests.system.small import machine, program
from tests.system.valued import SCALES, cycles, differences, start, valued_machines, valued_programs


@settings(max_examples=150)
@given(text=valued_programs(), params=valued_machines())
def test_a_timed_run_leaves_what_the_interpreter_leaves(text: str, params: MachineParams) -> None:
    assert differences(text, params) == []


@settings(max_examples=40)
@given(text=valued_programs(cores=2), params=valued_machines(cores=2))
def test_so_do_two_cores_that_exchange_rows(text: str, params: MachineParams) -> None:
    assert differences(text, params) == []


@settings(max_examples=20)
@given(text=valued_programs(), params=valued_machines())
def test_time_is_the_same_with_values_and_without(text: str, params: MachineParams) -> None:
    assert cycles(text, params, values=True) == cycles(text, params, values=False)


def _reads_wait_for_nobody(board: SpaceBoard, low: int, high: int, operation: Operation, now_ps: int) -> None:
    board.readers.append((low, high, operation))


def _writes_forget(board: SpaceBoard, kept: str, low: int, high: int, operation: Operation, now_ps: int) -> None:
    others = getattr(board, kept)
    operation.depends += [o for a, b, o in others if a < high and low < b and o is not operation]
    board.writers.append((low, high, operation))


def _scales_are_not_seen(board: SpaceBoard, low: int, high: int, operation: Operation, now_ps: int) -> None:
    """What writes of scales do not enter, nobody waits for."""
    if low < SCALES:
        _WRITE(board, low, high, operation, now_ps)


_WRITE = SpaceBoard.write
BUGS = {
    "scales": ("write", _scales_are_not_seen),
    "RAW": ("read", _reads_wait_for_nobody),
    "WAR": ("write", lambda board, *rest: _writes_forget(board, "writers", *rest)),
    "WAW": ("write", lambda board, *rest: _writes_forget(board, "readers", *rest)),
}


@pytest.mark.parametrize("kind", BUGS)
def test_a_missed_hazard_shows_in_the_values(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method, bug = BUGS[kind]
    monkeypatch.setattr(SpaceBoard, method, bug)

    def shows(case: tuple[str, MachineParams]) -> bool:
        try:
            return bool(differences(*case))
        except ArchsimError:
            return True

    cases = st.tuples(valued_programs(), valued_machines())
    assert find(cases, shows, settings=settings(max_examples=400, phases=[Phase.generate], deadline=None))


def test_replay_and_values_exclude_each_other() -> None:
    made, params = program("C_BREAK"), machine()
    with pytest.raises(ConfigError, match="off where values are computed"):
        simulate(made, params, replay=True, values=start(made, params))
