"""Instruction fetch: how many lines, and when."""

from __future__ import annotations

import pytest

from tests.system.small import FIRST, Run, machine, run, serial

LINE = 64
"""Instructions of a line of 256 B."""
NOP = "S_ADDI_INT gp1, gp0, 1\n"


def lines(done: Run) -> int:
    return done.result.units["core0.fetch"].extra["lines_fetched"]


@pytest.mark.parametrize(("instructions", "expected"), [(1, 1), (64, 1), (65, 2), (640, 10), (641, 11)])
def test_straight_code_is_fetched_once(instructions: int, expected: int) -> None:
    assert lines(run(NOP * instructions)) == expected


def test_a_loop_that_fits_is_not_fetched_again() -> None:
    text = "C_LOOP_START gp2, 10\n" + NOP * (4 * LINE - 2) + "C_LOOP_END gp2"
    assert lines(run(text, machine(fetch={"buffer": 4 * 256, "ahead": 2}))) == 4


def test_a_loop_one_line_larger_than_the_buffer_is_fetched_every_time() -> None:
    """The oldest line goes first, so of 5 lines in 4 places none is there when its turn comes."""
    text = "C_LOOP_START gp2, 10\n" + NOP * (5 * LINE - 2) + "C_LOOP_END gp2"
    assert lines(run(text, machine(fetch={"buffer": 4 * 256, "ahead": 2}))) == 50


@pytest.mark.parametrize(("ahead", "stall"), [(8, 50), (2, 50), (1, 3 * 50), (0, 3 * FIRST)])
def test_lines_ahead_hide_the_latency(ahead: int, stall: int) -> None:
    """A line takes 114 cycles to come and 64 to run; what is ahead is asked for on entering a line.

    One ahead comes 50 cycles late, at each line but the first. With two or more, lines 1 and 2 are asked for
    together when line 0 has come, so only line 1 is late. With none every line costs its 114 cycles.
    """
    done = run(NOP * (4 * LINE), machine(fetch={"ahead": ahead}))
    assert done.stalls("front") == {"fetch": FIRST + stall}


def test_slow_memory_stalls_dispatch() -> None:
    """At 1 B/ns a line of 256 B takes 256 cycles to move but 64 to run: 110 + 256 for the first, then 256 a line."""
    done = run(NOP * (3 * LINE), machine(memory={"bandwidth": 10**9}))
    first = 5 + 100 + 256 + 5
    # Lines 1 and 2 are asked for when line 0 has come and arrive 366 and 622 cycles later.
    assert done.stalls("front") == {"fetch": first + (366 - 64) + (256 - 64)}
    assert done.cycles == first + 366 + 256 + 64


def test_serial_issue_fetches_nothing() -> None:
    done = serial(NOP * 200)
    assert "core0.fetch" not in done.result.units
    assert done.cycles == 200
    assert done.result.hbm["read_bytes"] == 0


def test_lines_asked_for_in_vain_do_not_outlive_the_program() -> None:
    """The program ends in its first line, at 115; the lines ahead of it are under way then."""
    done = run("C_BREAK\n" + NOP * 600)
    fetch = done.result.units["core0.fetch"]
    assert done.cycles == FIRST + 1
    assert (fetch.busy_cycles, fetch.idle_cycles) == (FIRST + 1, 0)
    assert 1 <= lines(done) <= 9


def test_the_program_lies_where_its_region_says() -> None:
    region = {"name": "program", "base": 2**26 - 256, "bytes": 256}
    assert run(NOP, regions=(region,)).cycles == FIRST + 1
    with pytest.raises(Exception, match="expected a range inside the capacity"):
        run(NOP, regions=({"name": "program", "base": 2**26 - 255, "bytes": 256},))
