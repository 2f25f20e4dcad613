"""Several cores: puts, receipts, barriers."""

from __future__ import annotations

from typing import Any

import pytest

from archsim import MachineParams
from archsim.errors import DeadlockError
from tests.system.small import FIRST, LINK, integers, machine, run

# Every core loads its own number from its image of INT_MEM: gp1 = my number, gp2 = the next core's.
TWO = ((0, 1), (1, 0))
FOUR = tuple((i, (i + 1) % 4) for i in range(4))
WHO = "S_LD_INT gp1, gp0, 0\nS_LD_INT gp2, gp0, 1\n"
BARRIER = 8
# Cores fetch their line together: the pipe of the memory serves one every 4 cycles.
LAST_OF_TWO, LAST_OF_FOUR = FIRST + 4, FIRST + 12


def cores(n: int, **sections: dict[str, Any]) -> MachineParams:
    return machine(cores=n, **sections)


@pytest.mark.parametrize("rows", [1, 16])
def test_a_put_counts_when_its_last_byte_has_landed(rows: int) -> None:
    """All rows leave in 1 cycle of the wide port, 5 of network; or a row a cycle from SRAM if that is longer.

    Core 1 gets its line 4 cycles after core 0, so core 0's receipt, sent by core 1, decides.
    """
    text = WHO + integers(gp3=rows, gp4=1, gp5=4096) + (
        "C_SET_V_ROWS gp3, gp4, gp4\nN_PUT gp5, gp0, gp2\nN_WAIT gp4\nV_EXP_V gp5, gp5"
    )
    done = run(text, cores(2), int_mem=TWO)
    put = LAST_OF_TWO + 6
    arrival = put + max(1 + LINK, rows)
    vectors = [item for item in done.slices if item.name == "V_EXP_V"]
    assert min(item.start for item in vectors if item.track == "vector") == arrival + 1
    assert done.stalls("front") == {"fetch": FIRST, "noc": arrival - (FIRST + 7)}
    assert done.result.units["core0.net"].extra == {"sent_bytes": rows * 128}
    assert done.result.noc_bytes == 2 * 256 + 2 * rows * 128


def test_puts_leave_one_after_another() -> None:
    """On a port of 32 B a row of 128 B takes 4 cycles; the second put waits for the link, not for its SRAM port."""
    text = WHO + integers(gp4=1, gp5=2, gp6=4096) + "N_PUT gp6, gp0, gp2\nN_PUT gp0, gp6, gp2\nN_WAIT gp5"
    done = run(text, cores(2, noc={"core_port_bytes_per_cycle": 32}), int_mem=TWO)
    second = max(item.start for item in done.slices if item.name == "N_PUT")
    # 4 + 4 cycles of the link from the first put on, the last byte's 5 cycles of latency, and N_WAIT's own cycle.
    assert done.cycles == second - 1 + 8 + LINK + 1


def test_a_put_behind_memory_data_arrives_at_an_edge_of_the_clock() -> None:
    """The memory answers 1 ps after an edge; its data has booked the core's link when the put of 128 B comes.

    A put shares a link with reads that are still to come: 128 B at 1 B/cycle take twice 128 cycles.
    """
    text = integers(gp1=4096, gp2=1) + "H_PREFETCH_V gp0, gp0, a0\nN_PUT gp1, gp1, gp0\nN_WAIT gp2"
    slow = machine(memory={"latency": 100_001}, noc={"core_port_bytes_per_cycle": 1})
    done = run(text, slow)
    assert done.result.time_ps % 1000 == 0
    assert done.stalls("front")["noc"] > 2 * 128


def test_receipts_are_used_up_by_waiting() -> None:
    """Two puts, two waits of one each: the second wait is for the second put."""
    text = WHO + integers(gp4=1, gp6=4096) + (
        "N_PUT gp6, gp0, gp2\nN_WAIT gp4\nV_EXP_V gp0, gp0\nN_PUT gp6, gp0, gp2\nN_WAIT gp4"
    )
    done = run(text, cores(2), int_mem=TWO)
    first, second = sorted(item.start for item in done.slices if item.track == "net")
    assert second > first + 6
    assert done.result.opcodes["N_WAIT"]["count"] == 4


def test_waiting_for_no_receipt_is_no_wait() -> None:
    done = run("N_WAIT gp0\nV_EXP_V gp0, gp0")
    assert done.starts("V_EXP_V") == [FIRST + 1]


@pytest.mark.parametrize(("n", "images", "last"), [(2, TWO, LAST_OF_TWO), (4, FOUR, LAST_OF_FOUR)])
@pytest.mark.parametrize("cycles", [0, BARRIER])
def test_a_barrier_lets_all_go_after_the_last(n: int, images: object, last: int, cycles: int) -> None:
    text = WHO + integers(gp3=n) + "C_BARRIER gp0, gp3\nV_EXP_V gp0, gp0"
    done = run(text, cores(n, dispatch={"barrier_cycles": cycles}), int_mem=images)
    # Three instructions, then the barrier's own cycle.
    release = last + 3 + cycles + 1
    assert {item.start for item in done.slices} == {release}
    assert len(done.slices) == n
    assert done.stalls("front").get("barrier", 0) == release - 1 - (FIRST + 3)


def test_a_barrier_can_be_used_again_and_numbers_are_apart() -> None:
    text = integers(gp1=2, gp2=1) + "C_BARRIER gp0, gp1\nC_BARRIER gp0, gp1\nC_BARRIER gp2, gp1"
    assert run(text, cores(2)).cycles == LAST_OF_TWO + 2 + 3 * (BARRIER + 1)


def test_a_barrier_of_a_subset_does_not_wait_for_the_rest() -> None:
    """Two of four cores meet at barrier 0, two at barrier 1: by pairs, as their image says."""
    images = ((0,), (0,), (1,), (1,))
    text = "S_LD_INT gp1, gp0, 0\n" + integers(gp2=2) + "C_BARRIER gp1, gp2\nV_EXP_V gp0, gp0"
    done = run(text, cores(4), int_mem=images)
    starts = sorted(item.start for item in done.slices)
    assert starts == [LAST_OF_TWO + 2 + 9] * 2 + [LAST_OF_FOUR + 2 + 9] * 2


def test_round_a_ring_each_waits_for_its_sender() -> None:
    text = WHO + integers(gp3=1, gp5=4096) + "N_PUT gp5, gp0, gp2\nN_WAIT gp3\nV_EXP_V gp5, gp5"
    done = run(text, cores(4), int_mem=FOUR)
    # Core 0's sender, core 3, starts last; core i's sender starts 4 cycles before core i.
    fronts = [done.result.units[f"core{i}.front"].stall_cycles["noc"] for i in range(4)]
    assert fronts == [12 + 5, 1, 1, 1]


def test_too_few_cores_at_a_barrier_is_a_deadlock() -> None:
    with pytest.raises(DeadlockError) as caught:
        run(integers(gp1=3) + "C_BARRIER gp0, gp1", cores(2))
    where = "at instruction 1 (C_BARRIER, line 2)"
    assert str(caught.value) == (
        f"deadlock: core0.front waits for barrier 0 (1 of 3 cores have arrived), {where} since {FIRST + 1}000 ps; "
        f"core1.front waits for barrier 0 (2 of 3 cores have arrived), {where} since {LAST_OF_TWO + 1}000 ps"
    )


def test_receipts_that_never_come_are_a_deadlock() -> None:
    """Core 1 sends one row; both want two."""
    text = WHO + integers(gp3=2, gp5=4096) + "N_PUT gp5, gp0, gp2\nN_WAIT gp3"
    with pytest.raises(DeadlockError) as caught:
        run(text, cores(2), int_mem=TWO)
    assert str(caught.value) == (
        f"deadlock: core0.front waits for 2 receipts, 1 have come, at instruction 5 (N_WAIT, line 6) since "
        f"{FIRST + 5}000 ps; core1.front waits for 2 receipts, 1 have come, at instruction 5 (N_WAIT, line 6) since "
        f"{LAST_OF_TWO + 5}000 ps"
    )
