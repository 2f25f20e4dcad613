"""For each cause of a stall one small program where it dominates, worked out by hand."""

from __future__ import annotations

import pytest

from archsim.results import STALL_CAUSES
from tests.system.small import FIRST, LATENCY, LINK, Run, integers, machine, run


def operand() -> tuple[Run, str, int]:
    """A prefix sum of 10 rows, 90 cycles; the tile that needs its result is dispatched a cycle later."""
    text = integers(gp1=10, gp2=1) + "C_SET_V_ROWS gp1, gp2, gp2\nV_PS_V gp0, gp0\nM_MM gp0, gp0"
    return run(text), "tensor", 90 - 1


def queue_full() -> tuple[Run, str, int]:
    """Ten prefix sums of 9 cycles in a row behind a queue of one.

    They start every 9 cycles; the second waits in the queue, the third in dispatch from 2 to 9, the fourth from 10
    to 18, the tenth from 64 to 72: of 72 cycles dispatch works in the first two and in seven more.
    """
    return run("V_PS_V gp0, gp0\n" * 10, machine(dispatch={"vector_queue": 1})), "front", 72 - 9


def sram_port() -> tuple[Run, str, int]:
    """Nine tiles read a row in each of 72 cycles; a write-back of another range waits for the port's one row."""
    text = integers(gp1=9, gp2=8, gp3=65536) + "C_SET_M_TILES gp1, gp2\nM_MM gp0, gp0\nV_EXP_V gp3, gp3"
    return run(text, machine(vector_sram={"rows_per_cycle": 1})), "vector", 72 - 1


def dma() -> tuple[Run, str, int]:
    """300 cycles of command path before, 8 of conversion after a read that takes 5 + 100 + 17 + 5."""
    text = "H_PREFETCH_V gp0, gp0, a0\nV_EXP_V gp0, gp0"
    return run(text, machine(dma={"command_cycles": 300})), "vector", 300 + 8 + LINK + LATENCY + 17 + LINK - 1


def hbm() -> tuple[Run, str, int]:
    """The same with a command path of 8: memory and network take more than the engine, and no link decides."""
    return run("H_PREFETCH_V gp0, gp0, a0\nV_EXP_V gp0, gp0"), "vector", 8 + 8 + LINK + LATENCY + 17 + LINK - 1


def noc() -> tuple[Run, str, int]:
    """The core's port takes 1 B a cycle: 1056 cycles instead of the memory's 17.

    The first byte is at the channel at 13 + 100; 1 cycle later at the router, which takes 3; then the last byte
    leaves the router's port at + 1056 and needs 1 cycle of link. The line of the program, at 1 B a cycle too, comes
    252 cycles later than at full width.
    """
    text = "H_PREFETCH_V gp0, gp0, a0\nV_EXP_V gp0, gp0"
    return run(text, machine(noc={"core_port_bytes_per_cycle": 1})), "vector", 13 + LATENCY + LINK + 1056 + 8 - 1


def fetch() -> tuple[Run, str, int]:
    """640 instructions in 10 lines, one at a time: 114 cycles each."""
    return run("S_ADDI_INT gp1, gp0, 1\n" * 640, machine(fetch={"ahead": 0})), "front", 10 * FIRST


def barrier() -> tuple[Run, str, int]:
    """Core 0 has no loop; core 1 runs one of 500 trips, gets its line 4 cycles later; 8 cycles of barrier."""
    text = integers(gp1=2) + "S_LD_INT gp2, gp0, 0\nC_LOOP_START_R gp3, gp2\nC_LOOP_END gp3\nC_BARRIER gp0, gp1"
    return run(text, machine(cores=2), int_mem=((0,), (500,))), "front", 500 + 4 + 8


PROGRAMS = {
    program.__name__: program for program in (operand, queue_full, sram_port, dma, hbm, noc, fetch, barrier)
}


def test_every_cause_has_its_program() -> None:
    assert tuple(PROGRAMS) == STALL_CAUSES


@pytest.mark.parametrize("cause", STALL_CAUSES)
def test_the_cause_dominates_with_the_cycles_worked_out(cause: str) -> None:
    done, unit, cycles = PROGRAMS[cause]()
    stalls = done.stalls(unit)
    assert stalls[cause] == cycles
    if cause != "fetch":
        stalls.pop("fetch", None)  # every program waits for its first line
    assert max(stalls, key=stalls.__getitem__) == cause


def test_a_store_that_the_network_holds_up_is_a_noc_stall() -> None:
    """1056 cycles of the core's port against 117 of memory; the vector instruction overwrites the rows."""
    text = "H_STORE_V gp0, gp0, a0\nV_EXP_V gp0, gp0"
    assert set(run(text, machine(noc={"core_port_bytes_per_cycle": 1})).stalls("vector")) == {"noc"}
    assert set(run(text).stalls("vector")) == {"hbm"}
    assert set(run(text, machine(dma={"convert_cycles": 300})).stalls("vector")) == {"dma"}


@pytest.mark.parametrize(("command", "cause"), [(119, "dma"), (118, "hbm")])
def test_the_dma_is_the_cause_where_it_takes_longer_than_the_rest(command: int, cause: str) -> None:
    """Memory and network take 5 + 100 + 16 + 5 = 126 cycles for 1024 B; conversion takes 8."""
    text = integers(gp1=8) + "C_SET_H_ROWS gp1, gp0, gp0\nH_PREFETCH_V gp0, gp0, a0, 0, 2\nV_EXP_V gp0, gp0"
    assert set(run(text, machine(dma={"command_cycles": command})).stalls("vector")) == {cause}


def test_a_unit_with_an_empty_queue_is_idle_not_stalled() -> None:
    done = run("V_PS_V gp0, gp0")
    unit = done.result.units["core0.vector"]
    assert (unit.idle_cycles, unit.busy_cycles) == (FIRST, 9)
    assert done.stalls("vector") == {}
