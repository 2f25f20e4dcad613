"""How many instructions loops execute."""

from __future__ import annotations

from archsim.isa.assembler import assemble
from archsim.isa.loops import executed, match_loops

NEST = """
S_ADDI_INT gp1, gp0, 3
C_LOOP_START gp2, 5
S_ADDI_INT gp1, gp1, 1
{start}
S_ADDI_INT gp1, gp1, 1
C_LOOP_END gp3
C_LOOP_END gp2
"""


def count(start: str) -> int | None:
    instructions = assemble(NEST.format(start=start))
    return executed(instructions, match_loops(instructions))


def test_an_iteration_executes_its_body_and_its_end() -> None:
    # 1 + start; 5 times: one, start and end of the inner loop, whose body and end run 7 times.
    assert count("C_LOOP_START gp3, 7") == 2 + 5 * (1 + 1 + 7 * 2 + 1)


def test_a_loop_of_no_trips_executes_its_start_only() -> None:
    assert count("C_LOOP_START gp3, 0") == 2 + 5 * (1 + 1 + 0 + 1)


def test_trips_in_a_register_are_not_known() -> None:
    assert count("C_LOOP_START_R gp3, gp1") is None
