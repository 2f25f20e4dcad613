"""Dispatch: loops, integers, queues, and sticky registers captured when an instruction is dispatched."""

from __future__ import annotations

import pytest

from tests.system.small import FIRST, Run, integers, machine, read_cycles, run, serial


def count(done: Run, mnemonic: str) -> int:
    return done.result.opcodes.get(mnemonic, {"count": 0})["count"]


@pytest.mark.parametrize("trips", [1, 2, 5])
def test_a_loop_runs_its_body_that_often(trips: int) -> None:
    done = serial(f"C_LOOP_START gp1, {trips}\nV_ADD_VF gp0, gp0, f1\nC_LOOP_END gp1\nV_EXP_V gp0, gp0")
    assert count(done, "V_ADD_VF") == count(done, "C_LOOP_END") == trips
    assert count(done, "C_LOOP_START") == count(done, "V_EXP_V") == 1
    assert done.cycles == 1 + trips * (2 + 1) + 1


@pytest.mark.parametrize("trips", [0, 1, 4])
def test_trips_from_a_register_and_zero_skips_the_body(trips: int) -> None:
    done = serial(integers(gp2=trips) + "C_LOOP_START_R gp1, gp2\nV_ADD_VF gp0, gp0, f1\nC_LOOP_END gp1")
    assert count(done, "V_ADD_VF") == count(done, "C_LOOP_END") == trips
    assert done.cycles == 2 + 3 * trips


def test_a_loop_of_no_trips_leaves_its_register_zero() -> None:
    """Zero trips, then as many again: gp1 is 0, so nothing runs."""
    text = integers(gp1=3) + "C_LOOP_START gp1, 0\nC_LOOP_END gp1\n"
    text += "C_LOOP_START_R gp2, gp1\nV_EXP_V gp0, gp0\nC_LOOP_END gp2"
    assert count(serial(text), "V_EXP_V") == 0


def test_nested_loops_multiply() -> None:
    text = "C_LOOP_START gp1, 2\nC_LOOP_START gp2, 3\nV_EXP_V gp0, gp0\nC_LOOP_END gp2\nC_LOOP_END gp1"
    done = serial(text)
    assert count(done, "V_EXP_V") == 6
    assert done.cycles == 1 + 2 * (1 + 3 * 2 + 1)


def test_the_loop_register_counts_down() -> None:
    """The inner loop runs 3, 2, 1 times: the outer loop's register in its first, second and third trip."""
    text = "C_LOOP_START gp1, 3\nC_LOOP_START_R gp2, gp1\nV_EXP_V gp0, gp0\nC_LOOP_END gp2\nC_LOOP_END gp1"
    assert count(serial(text), "V_EXP_V") == 3 + 2 + 1


def test_writing_the_loop_register_does_not_change_the_trips() -> None:
    text = "C_LOOP_START gp1, 3\nS_ADDI_INT gp1, gp0, 9\nV_EXP_V gp0, gp0\nC_LOOP_END gp1"
    assert count(serial(text), "V_EXP_V") == 3


def test_break_ends_the_program_inside_a_loop() -> None:
    done = serial("C_LOOP_START gp1, 3\nV_EXP_V gp0, gp0\nC_BREAK\nC_LOOP_END gp1\nV_EXP_V gp0, gp0")
    assert count(done, "V_EXP_V") == 1
    assert done.cycles == 3


def test_break_lets_what_was_dispatched_retire() -> None:
    assert run("V_PS_V gp0, gp0\nC_BREAK").cycles == FIRST + 9


def test_one_instruction_is_dispatched_each_cycle() -> None:
    done = run(integers(gp1=1, gp2=2, gp3=3) + "V_EXP_V gp0, gp0\nS_ADD_FP f1, f2, f3\nK_CALIB gp0, gp0")
    assert [item.start - FIRST for item in done.slices] == [3, 4, 5]


def test_integer_arithmetic_decides_counts() -> None:
    """(7 - 4) * 2 + 1 = 7 rows; gp0 stays 0 whatever is written to it."""
    text = integers(gp1=7, gp2=4, gp3=2, gp0=5) + (
        "S_SUB_INT gp4, gp1, gp2\nS_MUL_INT gp4, gp4, gp3\nS_ADDI_INT gp5, gp0, 1\nS_ADD_INT gp4, gp4, gp5\n"
        "C_SET_V_ROWS gp4, gp5, gp5\nV_EXP_V gp0, gp0"
    )
    (only,) = serial(text).of("vector")
    assert only.end - only.start == 7


def test_upper_immediates_are_shifted_by_twelve() -> None:
    """1 << 12 = 4096 words of INT_MEM: the last one is at 4095."""
    text = "S_LUI_INT gp1, 1\nS_ADDI_INT gp2, gp0, 1\nS_SUB_INT gp1, gp1, gp2\nS_LD_INT gp3, gp1"
    serial(text, machine(scalar_memory={"int_words": 4096}))
    with pytest.raises(Exception, match=r"INT_MEM \[4095, 4096\)"):
        serial(text, machine(scalar_memory={"int_words": 4095}))


def test_a_queue_holds_its_depth() -> None:
    """The first vector instruction waits for the DMA. With depth 2 the third waits in dispatch until it starts."""
    text = "H_PREFETCH_V gp0, gp0, a0\n" + "V_EXP_V gp0, gp0\n" * 3 + "C_BREAK"
    wait = read_cycles(1056)
    shallow = run(text, machine(dispatch={"vector_queue": 2}))
    assert shallow.stalls("front") == {"fetch": FIRST, "queue_full": wait - 3}
    assert shallow.starts("V_EXP_V") == [FIRST + wait + i for i in range(3)]
    deep = run(text, machine(dispatch={"vector_queue": 3}))
    assert deep.stalls("front") == {"fetch": FIRST}


def test_sticky_rows_are_those_at_dispatch() -> None:
    """Both wait for the DMA; the first keeps its 5 rows though the register holds 1 by then."""
    text = integers(gp1=5, gp2=1) + (
        "H_PREFETCH_V gp0, gp0, a0\nC_SET_V_ROWS gp1, gp2, gp2\nV_EXP_V gp0, gp0\n"
        "C_SET_V_ROWS gp2, gp2, gp2\nV_EXP_V gp0, gp0"
    )
    first, second = run(text).of("V_EXP_V")
    assert (first.end - first.start, second.end - second.start) == (5, 1)


def test_sticky_tiles_are_those_at_dispatch() -> None:
    text = integers(gp1=3, gp2=1) + (
        "H_PREFETCH_V gp0, gp0, a0\nC_SET_M_TILES gp1, gp0\nM_MM gp0, gp0\nC_SET_M_TILES gp2, gp0\nM_MM gp0, gp0"
    )
    first, second = run(text).of("M_MM")
    assert (first.end - first.start, second.end - second.start) == (24, 8)


def test_address_registers_are_those_at_dispatch() -> None:
    """in_flight 1: the second transfer starts long after a0 has moved, and meets the store at its old place."""
    text = integers(gp1=4096, gp2=8192) + (
        "H_STORE_V gp0, gp0, a0\nH_PREFETCH_V gp1, gp0, a0\nC_SET_ADDR_REG a0, gp0, gp1\nH_PREFETCH_V gp2, gp0, a0"
    )
    done = run(text)
    store = done.of("H_STORE_V")[0]
    assert done.starts("H_PREFETCH_V")[0] == store.end


def test_an_integer_from_a_unit_is_waited_for() -> None:
    """V_RED_MAX_IDX is dispatched at FIRST, done 4 cycles later; the addition follows; it is a stall of dispatch."""
    done = run("V_RED_MAX_IDX gp1, gp0, gp0, f1\nS_ADD_INT gp2, gp1, gp0\nV_EXP_V gp0, gp0")
    assert done.stalls("front") == {"fetch": FIRST, "operand": 3}
    assert done.starts("V_EXP_V") == [FIRST + 4 + 1]


@pytest.mark.parametrize("word", [0, 1])
def test_a_load_waits_for_the_pending_store_of_its_word(word: int) -> None:
    """The store takes 20 cycles; a load of the word waits and sees it (3 trips), one of another word does neither."""
    text = integers(gp1=3) + f"S_ST_INT gp1, gp0, 0\nS_LD_INT gp2, gp0, {word}\n"
    text += "C_LOOP_START_R gp3, gp2\nV_EXP_V gp0, gp0\nC_LOOP_END gp3"
    done = run(text, machine(costs={"overrides": {"S_ST_INT": "20"}}))
    assert done.stalls("front") == {"fetch": FIRST} | ({"operand": 19} if word == 0 else {})
    assert count(done, "V_EXP_V") == (3 if word == 0 else 0)


def test_int_mem_starts_with_the_headers_image() -> None:
    text = "S_LD_INT gp1, gp0, 2\nC_LOOP_START_R gp2, gp1\nV_EXP_V gp0, gp0\nC_LOOP_END gp2"
    done = serial(text, int_mem=((9, 9, 4),))
    assert count(done, "V_EXP_V") == 4


def test_wait_idle_waits_for_everything_before_it() -> None:
    """The drain retires 14 cycles after its start, the vector instruction 9 after its own."""
    done = run(integers(gp1=4096) + "M_MM_WO gp0, gp0\nV_PS_V gp1, gp1\nC_WAIT_IDLE\nV_EXP_V gp1, gp1")
    assert done.starts("V_EXP_V") == [FIRST + 1 + 14 + 1]
    assert done.stalls("front") == {"fetch": FIRST, "operand": 12}


def test_wait_idle_takes_its_cause_from_what_it_waits_for() -> None:
    assert set(run("V_EXP_V gp0, gp0\nH_PREFETCH_M gp0, gp0, a0\nC_WAIT_IDLE").stalls("front")) == {"fetch", "hbm"}


@pytest.mark.parametrize("segment", [16, 64])
def test_segments_fix_the_size_of_statistics(segment: int) -> None:
    """16 rows have 64 statistics of 16-lane segments, 16 of whole vectors; the other unit reads from the 17th on."""
    text = integers(gp1=16, gp2=1, gp3=4096, gp4=4096 + 16, gp5=segment, gp6=8192)
    text += "C_SET_V_SEG gp5\nC_SET_V_ROWS gp1, gp2, gp2\nV_RED_MAX_SEG gp3, gp0\nC_SET_V_ROWS gp2, gp2, gp2\n"
    done = run(text + "V_SUB_SEG gp6, gp6, gp4", machine(vector={"units": 2}))
    start = FIRST + 8
    assert done.starts("V_SUB_SEG") == [start + 64 if segment == 16 else start + 2]
