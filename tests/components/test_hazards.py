"""The scoreboard: a consumer starts exactly when its producer has finished, and an unrelated instruction at once."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsim.components.decode import Decoded
from archsim.components.operation import Operation
from archsim.components.phases import PhaseLedger, PhaseTotals
from archsim.components.scoreboard import SpaceBoard
from archsim.isa.program import instruction
from archsim.kernel.simulation import Simulation
from tests.system.small import FIRST, LATENCY, LINK, Run, integers, machine, read_cycles, run

# 16 rows of 64 elements as MXFP8, codes and scales, and one MXINT4 tile of 64 x 8 or 64 x 16 elements.
ROWS_BYTES = 16 * 64 + 16 * 2
WEIGHT_BYTES, KV_BYTES = 64 * 8 // 2 + 16, 64 * 16 // 2 + 32


def write_cycles(nbytes: int) -> int:
    """From the start of a DMA write until the memory has taken its last byte."""
    return 8 + 8 + LINK + 1 + LATENCY + -(-nbytes // 64)


class Pair(NamedTuple):
    """`first`, and after `latency` cycles `second`; `free` touches nothing of it. gp1-gp4: 4096, 8192, 1, 65536."""

    first: str
    second: str
    free: str
    latency: int


SLOW = {"S_ST_FP": "7/1", "S_LD_FP": "7/1", "S_MAP_V_FP": "7/1", "S_ST_INT": "7/1", "S_SELECT_INT": "7/1"}
PAIRS = {
    "V RAW vector-tensor": Pair("V_PS_V gp0, gp1", "M_MM gp0, gp0", "M_MM gp0, gp1", 9),
    "V RAW last row of a tile": Pair("V_PS_V gp2, gp4", "M_MM gp0, gp5", "M_MM gp0, gp6", 9),
    "V RAW dma-vector": Pair(
        "H_PREFETCH_V gp0, gp0, a0", "V_EXP_V gp2, gp0", "V_EXP_V gp2, gp1", read_cycles(ROWS_BYTES),
    ),
    "V RAW tensor-kv": Pair("M_MM_WO gp0, gp0", "K_CALIB gp0, gp0", "K_CALIB gp1, gp0", 14),
    "V RAW vector-store": Pair("V_PS_V gp0, gp1", "H_STORE_V gp0, gp0, a0", "H_STORE_V gp1, gp0, a0", 9),
    "V RAW vector-net": Pair("V_PS_V gp0, gp1", "N_PUT gp2, gp0, gp0", "N_PUT gp2, gp1, gp0", 9),
    "V WAR tensor-vector": Pair("M_MM gp0, gp0", "V_EXP_V gp0, gp1", "V_EXP_V gp2, gp1", 8),
    "V WAR vector-dma": Pair("V_PS_V gp2, gp0", "H_PREFETCH_V gp0, gp0, a0", "H_PREFETCH_V gp1, gp0, a0", 9),
    "V WAW tensor-vector": Pair("M_MM_WO gp0, gp0", "V_EXP_V gp0, gp1", "V_EXP_V gp2, gp1", 14),
    "V WAW last row of a block": Pair("M_MM_WO gp0, gp0", "V_EXP_V gp7, gp1", "V_EXP_V gp8, gp1", 14),
    "V RAW vector-scalar": Pair(
        "V_PS_V gp0, gp1", "S_SELECT_INT gp0, gp0, gp0, gp0, gp3", "S_SELECT_INT gp0, gp0, gp0, gp1, gp3", 9,
    ),
    "V WAW vector-scalar": Pair("V_PS_V gp0, gp1", "S_MAP_V_FP gp0, gp0", "S_MAP_V_FP gp2, gp0", 9),
    "M RAW": Pair("H_PREFETCH_M gp0, gp0, a0", "M_MM gp0, gp0", "M_MM gp1, gp0", read_cycles(WEIGHT_BYTES)),
    "M WAR": Pair("M_MM gp0, gp0", "H_PREFETCH_M gp0, gp0, a0", "H_PREFETCH_M gp1, gp0, a0", 8),
    "M WAW": Pair(
        "H_PREFETCH_M gp0, gp0, a0, 0, 1",
        "H_PREFETCH_M gp0, gp0, a0",
        "H_PREFETCH_M gp1, gp0, a0",
        read_cycles(KV_BYTES),
    ),
    "F RAW": Pair("S_ST_FP f1, gp0, 5", "S_LD_FP f2, gp0, 5", "S_LD_FP f2, gp0, 6", 7),
    "F RAW of a range": Pair("S_ST_FP f1, gp0, 5", "S_MAP_V_FP gp0, gp0", "S_MAP_V_FP gp0, gp0, 6", 7),
    "F WAR": Pair("S_LD_FP f2, gp0, 5", "S_ST_FP f1, gp0, 5", "S_ST_FP f1, gp0, 4", 7),
    "F WAW": Pair("S_ST_FP f1, gp0, 5", "S_ST_FP f1, gp0, 5", "S_ST_FP f1, gp0, 4", 7),
    "I RAW": Pair("S_ST_INT gp1, gp0, 0", "H_GATHER_V gp0, gp0, a0", "H_GATHER_V gp0, gp3, a0", 7),
    "I WAR": Pair("H_GATHER_V gp0, gp0, a0", "S_ST_INT gp1, gp0, 0", "S_ST_INT gp1, gp0, 1", read_cycles(128)),
    "I WAW": Pair("S_SELECT_INT gp3, gp1, gp1, gp0, gp3", "S_ST_INT gp1, gp0, 1", "S_ST_INT gp1, gp0, 2", 7),
    "H RAW": Pair(
        "H_STORE_V gp0, gp0, a0", "H_PREFETCH_V gp1, gp0, a0", "H_PREFETCH_V gp1, gp1, a0", write_cycles(ROWS_BYTES),
    ),
    "H RAW on the gathered table": Pair(
        "H_STORE_V gp0, gp0, a0", "H_GATHER_V gp1, gp0, a0", "H_GATHER_V gp1, gp0, a1", write_cycles(ROWS_BYTES)
    ),
    "H WAR": Pair(
        "H_PREFETCH_V gp1, gp0, a0", "H_STORE_V gp0, gp0, a0", "H_STORE_V gp0, gp1, a0", read_cycles(ROWS_BYTES),
    ),
    "H WAW": Pair(
        "H_STORE_V gp0, gp0, a0", "K_STORE gp0, gp1, a0, gp0", "K_STORE gp1, gp1, a0, gp0", write_cycles(ROWS_BYTES),
    ),
    "H RAW, KV tile": Pair(
        "K_STORE gp0, gp1, a0, gp0",
        "H_PREFETCH_M gp0, gp0, a0, 0, 1",
        "H_PREFETCH_M gp0, gp1, a0, 0, 1",
        # 34 B: 16 + 6 of network, 100 + 1 of memory.
        write_cycles(34),
    ),
    # Element 4096 in MXFP8 and in MXINT4: other codes, the same scales.
    "H RAW of scales": Pair(
        "H_STORE_V gp0, gp1, a0", "H_PREFETCH_V gp1, gp1, a0, 0, 5", "H_PREFETCH_V gp1, gp4, a0, 0, 5",
        write_cycles(ROWS_BYTES),
    ),
    "H WAR of scales": Pair(
        "H_PREFETCH_V gp1, gp1, a0, 0, 5", "H_STORE_V gp0, gp1, a0", "H_STORE_V gp0, gp4, a0",
        read_cycles(16 * 64 // 2 + 16 * 2),
    ),
    "S RAW": Pair("K_CALIB gp0, gp0", "K_FOLD gp1, gp2, gp0", "K_FOLD gp1, gp2, gp3", 9),
    "S WAR": Pair("K_FOLD gp1, gp2, gp0", "K_CALIB gp0, gp0", "K_CALIB gp0, gp3", 9),
    "S WAW": Pair("K_CALIB gp0, gp0", "K_CALIB gp0, gp0", "K_CALIB gp0, gp3", 9),
    "S RAW of a store": Pair("K_CALIB gp0, gp0", "K_STORE gp0, gp1, a0, gp0", "K_STORE gp0, gp1, a0, gp3", 9),
    "R RAW": Pair("V_RED_SUM f1, gp0", "S_EXP_FP f2, f1", "S_EXP_FP f2, f3", 8),
    "R RAW of a store": Pair("V_RED_SUM f1, gp0", "S_ST_FP f1, gp0", "S_ST_FP f2, gp0", 8),
    "R RAW scalar-vector": Pair("S_LD_FP f1, gp0", "V_ADD_VF gp0, gp0, f1", "V_ADD_VF gp0, gp0, f2", 7),
    "R RAW running value": Pair("S_LD_FP f1, gp0", "V_RED_MAX f1, gp0", "V_RED_MAX f2, gp0", 7),
    "R WAR": Pair("V_ADD_VF gp0, gp0, f1", "S_ADD_FP f1, f2, f3", "S_ADD_FP f4, f2, f3", 2),
    "R WAW": Pair("V_RED_MAX_IDX gp9, gp0, gp0, f1", "S_ADD_FP f1, f2, f3", "S_ADD_FP f4, f2, f3", 4),
    "f0 is constant": Pair("S_ST_FP f1, gp0, 5", "S_LD_FP f0, gp0, 5", "V_ADD_VF gp0, gp0, f0", 7),
}
# gp5 = gp2 - 7 rows: a tile of 8 rows from there has row gp2 as its last; gp6 = gp2 - 8 rows ends before it.
# gp7 is the last row of a block at 0, gp8 the row behind it.
SETUP = (
    integers(gp1=4096, gp2=8192, gp3=1, gp4=65536, gp5=8192 - 7 * 64, gp6=8192 - 8 * 64, gp7=7 * 64, gp8=8 * 64)
    + "C_SET_ADDR_REG a1, gp0, gp4\nC_SET_SCALE_REG gp2\nC_SET_V_ROWS gp3, gp3, gp3\n"
)
START = FIRST + 11


def start_of_second(done: Run) -> int:
    first, second = sorted(done.slices, key=lambda item: item.start)
    assert first.start == START
    return second.start


@pytest.mark.parametrize("name", sorted(PAIRS))
def test_the_second_starts_when_the_first_has_finished(name: str) -> None:
    pair = PAIRS[name]
    params = machine(costs={"overrides": SLOW})
    assert start_of_second(run(f"{SETUP}{pair.first}\n{pair.second}", params)) == START + pair.latency
    assert start_of_second(run(f"{SETUP}{pair.first}\n{pair.free}", params)) == START + 1


def test_a_strided_bf16_store_is_written_in_all_its_rows() -> None:
    """16 rows of 128 B, 256 elements apart; the last row's range must be waited for too."""
    text = integers(gp1=256, gp2=15 * 256, gp3=1, gp4=4096, gp5=16 * 256) + "C_SET_STRIDE_REG gp1\n"
    store, one_row = "H_STORE_V gp0, gp0, a0, 1, 2\n", "C_SET_H_ROWS gp3, gp0, gp0\n"
    start = FIRST + 6
    conflict = run(text + store + one_row + "H_PREFETCH_V gp4, gp2, a0, 0, 2")
    assert conflict.starts("H_PREFETCH_V") == [start + write_cycles(16 * 128)]
    free = run(text + store + one_row + "H_PREFETCH_V gp4, gp5, a0, 0, 2")
    assert free.starts("H_PREFETCH_V") == [start + 2]


def test_a_weight_tile_does_not_wait_for_a_store_below_its_element_offset() -> None:
    """Element 16384 of an MXINT4 tensor is byte 8192: the BF16 store to byte 16384 is none of its business."""
    text = integers(gp1=16384, gp2=8192) + "H_STORE_V gp0, gp2, a0, 0, 2\nH_PREFETCH_M gp0, gp1, a0"
    assert run(text).starts("H_PREFETCH_M") == [FIRST + 3]


def test_readers_on_different_vector_units_both_hold_up_a_writer() -> None:
    """Both read row 0. The first waits 8 cycles for f1, the second does not; the write must wait for the first."""
    text = integers(gp1=4096, gp2=8192, gp3=12288) + (
        "V_RED_SUM f1, gp1\nV_EXP_V gp2, gp2\nV_ADD_VF gp2, gp0, f1\nV_ADD_VF gp3, gp0, f2\nH_PREFETCH_V gp0, gp0, a0"
    )
    done = run(text, machine(vector={"units": 2}))
    start = FIRST + 3
    assert done.starts("V_ADD_VF") == [start + 3, start + 8]
    assert done.starts("H_PREFETCH_V") == [start + 10]


def test_integers_pass_from_unit_to_unit_without_holding_up_dispatch() -> None:
    """The index of the max is known after 4 cycles; the store waits for it, the next addition is dispatched."""
    text = integers(gp1=1) + "V_RED_MAX_IDX gp9, gp0, gp0, f1\nS_ST_INT gp9, gp0, 0\nS_ADDI_INT gp2, gp1, 1\nC_BREAK"
    done = run(text)
    assert done.starts("S_ST_INT") == [FIRST + 1 + 4]
    assert done.result.units["core0.front"].busy_cycles == 5


def test_an_index_base_from_another_unit_is_waited_for() -> None:
    """gp8 comes from unit 0 after 4 cycles; unit 1 reads it as the base of its own index."""
    text = "V_RED_MAX_IDX gp8, gp0, gp0, f1\nV_RED_MAX_IDX gp9, gp0, gp8, f2"
    assert run(text, machine(vector={"units": 2})).starts("V_RED_MAX_IDX") == [FIRST, FIRST + 4]


def _operation() -> Operation:
    decoded = Decoded(0, instruction("V_EXP_V", 0, 0), (1, 1), 64)
    ledger = PhaseLedger([PhaseTotals()])
    return Operation(decoded, 0, ledger.begin(0))


def _board_after(write: tuple[int, int], finish_ps: int = -1) -> tuple[SpaceBoard, Operation]:
    board, operation = SpaceBoard(), _operation()
    board.write(*write, operation, 0)
    operation.finish_ps = finish_ps
    return board, operation


@pytest.mark.parametrize(
    ("low", "high", "meets"), [(0, 10, False), (0, 11, True), (19, 20, True), (20, 30, False), (12, 13, True)]
)
def test_ranges_are_half_open(low: int, high: int, meets: bool) -> None:
    board, writer = _board_after((10, 20))
    reader = _operation()
    board.read(low, high, reader, 0)
    assert (reader.depends == [writer]) is meets


@pytest.mark.parametrize(("now_ps", "meets"), [(99, True), (100, False)])
def test_what_has_retired_is_no_hazard(now_ps: int, meets: bool) -> None:
    board, writer = _board_after((0, 10), finish_ps=100)
    reader = _operation()
    board.read(0, 10, reader, now_ps)
    assert (reader.depends == [writer]) is meets
    assert board.pending_writer(0, 10, now_ps) is (writer if meets else None)


def test_an_instruction_in_place_does_not_wait_for_itself() -> None:
    board, operation = SpaceBoard(), _operation()
    board.read(0, 10, operation, 0)
    board.write(0, 10, operation, 0)
    assert operation.depends == []


def test_a_write_takes_the_place_of_what_it_covers() -> None:
    board, first = _board_after((10, 20))
    reader, second, third = _operation(), _operation(), _operation()
    board.read(12, 15, reader, 0)
    board.write(10, 20, second, 0)
    board.write(0, 30, third, 0)
    assert second.depends == [first, reader]
    assert third.depends == [second]


ACCESSES = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 6), st.booleans()), max_size=12)


@given(ACCESSES)
def test_every_hazard_is_waited_for_directly_or_through_another(accesses: list[tuple[int, int, bool]]) -> None:
    board, known = SpaceBoard(), []
    waits: dict[int, set[int]] = {}
    for low, size, write in accesses:
        operation = _operation()
        operation.decoded.in_order = False
        (board.write if write else board.read)(low, low + size, operation, 0)
        direct = {id(other) for other in operation.depends}
        hazards = {id(o) for start, end, o, wrote in known if start < low + size and low < end and (write or wrote)}
        assert direct <= hazards <= direct.union(*(waits[other] for other in direct))
        waits[id(operation)] = direct.union(*(waits[other] for other in direct))
        known.append((low, low + size, operation, write))


def test_retired_entries_are_dropped_and_living_ones_kept() -> None:
    board = SpaceBoard()
    for i in range(100):
        operation = _operation()
        board.write(i, i + 1, operation, now_ps=i)
        operation.finish_ps = -1 if i == 3 else i + 1
    assert len(board.writers) < 60
    assert board.pending_writer(3, 4, 100) is not None


def test_a_waiting_unit_is_woken_when_the_time_is_known() -> None:
    sim, operation = Simulation(), _operation()
    operation.phase.pending = 1
    event = operation.wait_started(sim.event())
    assert not event.triggered
    operation.started(70)
    assert event.triggered
    assert operation.finish_ps == 70
