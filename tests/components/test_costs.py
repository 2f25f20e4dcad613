"""What every instruction takes: alone under serial issue, and over many rows and tiles."""

from __future__ import annotations

import pytest

from archsim.isa.opcodes import OPCODES
from archsim.isa.program import PhaseInfo
from tests.system.small import BLEN, FIRST, VLEN, integers, machine, run, serial

# Cycles with MLEN = VLEN = 64, BLEN = 8 and lengths of 5, written down from the published table.
CYCLES = {
    **dict.fromkeys(("M_MM", "M_TMM", "M_BMM", "M_BTMM"), 8),
    **dict.fromkeys(("M_MM_WO", "M_BMM_WO"), 14),
    **dict.fromkeys(("M_MV", "M_TMV", "M_BMV", "M_BTMV"), 17),
    **dict.fromkeys(("M_MV_WO", "M_BMV_WO"), 70),
    **dict.fromkeys(("V_EXP_V", "V_SHFT_V", "V_ROT_SEG"), 1),
    **dict.fromkeys(("V_ADD_VV", "V_ADD_VF", "V_SUB_VV", "V_SUB_VF", "V_MUL_VV", "V_MUL_VF", "V_RECI_V"), 2),
    **dict.fromkeys(("V_SELECT_VVM", "V_SUB_SEG", "V_MUL_SEG", "V_MAX_VV", "V_RSQRT_V", "V_GUMBEL_V"), 2),
    **dict.fromkeys(("V_RED_MAX", "V_RED_MAX_IDX", "V_RED_MAX_SEG"), 4),
    **dict.fromkeys(("V_RED_SUM", "V_RED_SUM_SEG"), 8),
    "C_HADAMARD_TRANSFORM": 7,
    "V_PS_V": 9,
    "V_TOPK_MASK": 15,
    **dict.fromkeys(("S_ADD_FP", "S_SUB_FP", "S_MAX_FP", "S_MUL_FP", "S_EXP_FP", "S_RECI_FP", "S_SQRT_FP"), 1),
    **dict.fromkeys(("S_LD_FP", "S_ST_FP", "S_ST_INT"), 1),
    **dict.fromkeys(("S_MAP_V_FP", "S_SELECT_INT"), 5),
    **dict.fromkeys(("S_ADD_INT", "S_ADDI_INT", "S_SUB_INT", "S_MUL_INT", "S_LUI_INT", "S_LD_INT"), 1),
    **dict.fromkeys(("C_SET_ADDR_REG", "C_SET_SCALE_REG", "C_SET_STRIDE_REG", "C_SET_V_MASK_REG"), 1),
    "C_SET_ADDR_PAGE": 1,
    "C_SET_SCALE_PAGE": 1,
    **dict.fromkeys(("C_SET_V_ROWS", "C_SET_V_LANES", "C_SET_M_TILES", "C_SET_M_FETCH", "C_SET_H_ROWS"), 1),
    **dict.fromkeys(("C_SET_V_SEG", "C_SET_M_ROWS", "C_SET_M_GROUP", "C_BREAK", "C_WAIT_IDLE"), 1),
    "N_WAIT": 1,
    "C_PHASE": 0,
    # 8 cycles of pipeline behind the row.
    **dict.fromkeys(("K_CALIB", "K_FOLD"), 9),
    # One row leaves in 1 cycle and crosses the router, 5 cycles, even to the core itself.
    "N_PUT": 6,
    # The barrier takes 8 cycles, and the instruction its own.
    "C_BARRIER": 9,
}
TIMED_ELSEWHERE = {"H_PREFETCH_M", "H_PREFETCH_V", "H_STORE_V", "H_GATHER_V", "K_STORE", "C_LOOP_START"} | {
    "C_LOOP_START_R",
    "C_LOOP_END",
}
SETUP = integers(gp1=1, gp2=4096, gp3=8192, gp4=5)
_REGISTERS = {
    "rlen": "gp4",
    "k": "gp4",
    "rd": "gp2",
    "rs1": "gp0",
    "rs2": "gp3",
}
_SPECIAL = {
    "C_SET_V_ROWS": "gp1, gp1, gp1",
    "C_SET_V_SEG": "gp1",
    "C_SET_M_ROWS": "gp1",
    "C_SET_M_TILES": "gp1, gp1",
    "C_SET_M_FETCH": "gp1, gp0",
    "C_BARRIER": "gp0, gp1",
    "N_WAIT": "gp0",
    "N_PUT": "gp2, gp0, gp0",
    "S_SUB_INT": "gp5, gp2, gp1",
    "S_MAP_V_FP": "gp2, gp0, 0, gp4",
    "S_SELECT_INT": "gp2, gp0, gp0, gp0, gp4",
    "K_CALIB": "gp0, gp1",
    "K_FOLD": "gp2, gp0, gp1",
    "V_RED_MAX_IDX": "gp5, gp0, gp2, f1",
    "S_ADD_INT": "gp5, gp1, gp2",
    "S_ADDI_INT": "gp5, gp1, 7",
    "S_MUL_INT": "gp5, gp1, gp2",
    "S_LUI_INT": "gp5, 1",
    "S_LD_INT": "gp5, gp1, 1",
    "C_SET_ADDR_REG": "a1, gp0, gp1",
    "C_SET_ADDR_PAGE": "a1, gp0",
    "C_PHASE": "0",
}


def statement(mnemonic: str) -> str:
    """An instruction of this opcode with operands that fit the small machine."""
    if mnemonic in _SPECIAL:
        return f"{mnemonic} {_SPECIAL[mnemonic]}"
    words = []
    for operand in OPCODES[mnemonic].operands:
        if operand.default is not None and operand.name != "rlen":
            break
        words.append({"f": "f1", "imm": "0", "flag": "0"}.get(operand.kind) or _REGISTERS.get(operand.name, "gp0"))
    return f"{mnemonic} {', '.join(words)}"


def test_every_opcode_is_here_or_has_a_test_of_its_own() -> None:
    assert set(CYCLES) | TIMED_ELSEWHERE == set(OPCODES)
    assert not set(CYCLES) & TIMED_ELSEWHERE


@pytest.mark.parametrize("mnemonic", sorted(CYCLES))
def test_cycles_of_one_instruction(mnemonic: str) -> None:
    done = serial(SETUP + statement(mnemonic), phases=(PhaseInfo("p", "", "p"),))
    assert done.cycles - 4 == CYCLES[mnemonic]
    assert done.result.opcodes[mnemonic]["count"] == (5 if mnemonic == "S_ADDI_INT" else 1)


@pytest.mark.parametrize(
    ("mnemonic", "latency", "interval"),
    [("V_EXP_V", 1, 1), ("V_ADD_VV", 2, 2), ("V_RED_SUM_SEG", 8, 8), ("V_PS_V", 9, 9)],
)
@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("cost_set", ["published", "pipelined"])
def test_rows_take_n_intervals_and_one_latency(
    mnemonic: str, latency: int, interval: int, rows: int, cost_set: str
) -> None:
    if cost_set == "pipelined":
        interval = 1
    text = integers(gp1=rows, gp2=4096, gp3=8192, gp5=1) + f"C_SET_V_ROWS gp1, gp5, gp5\n{statement(mnemonic)}"
    done = serial(text, machine(costs={"set": cost_set}))
    assert done.cycles - 5 == rows * interval + latency - interval
    assert done.of("vector")[0].end - done.of("vector")[0].start == rows * interval
    assert done.result.opcodes[mnemonic]["busy_cycles"] == rows * interval


@pytest.mark.parametrize("tiles", [1, 3])
@pytest.mark.parametrize(("mnemonic", "latency", "interval"), [("M_MM", BLEN, BLEN), ("M_MV", BLEN + 9, BLEN + 1)])
def test_tiles_take_n_intervals_and_one_latency(mnemonic: str, latency: int, interval: int, tiles: int) -> None:
    text = integers(gp1=tiles, gp2=BLEN) + f"C_SET_M_TILES gp1, gp2\n{mnemonic} gp0, gp0"
    assert serial(text).cycles - 3 == tiles * interval + latency - interval


def test_a_tile_takes_all_its_cycles_however_few_its_rows() -> None:
    assert serial(integers(gp1=1) + "C_SET_M_ROWS gp1\nM_MM gp0, gp0").cycles - 2 == BLEN


def test_rtl_drain_adds_four_cycles_to_a_tile() -> None:
    assert serial("M_MM gp0, gp0", machine(tensor={"rtl_drain": True})).cycles == BLEN + 4


def test_length_register_zero_means_a_whole_vector() -> None:
    assert serial("S_MAP_V_FP gp0, gp0").cycles == VLEN
    assert serial("V_TOPK_MASK gp0, gp0, gp0, gp0").cycles == 3 * VLEN


def test_a_drain_frees_the_array_after_one_cycle_and_retires_later() -> None:
    text = integers(gp1=4096) + "M_MM_WO gp0, gp0\nM_MM gp0, gp1\nV_EXP_V gp0, gp0"
    done = run(text)
    start = FIRST + 1
    assert done.starts("M_MM_WO") == [start]
    assert done.starts("M_MM") == [start + 1]
    assert done.starts("V_EXP_V") == [start + BLEN + 6]


def test_vector_units_take_turns() -> None:
    """Four instructions of 9 cycles on two units: two start as dispatched, two when those have ended."""
    text = integers(gp1=64, gp2=128, gp3=192) + "".join(f"V_PS_V gp{i}, gp{i}\n" for i in range(4))
    done = run(text, machine(vector={"units": 2}))
    start = FIRST + 3
    assert done.starts("vector0") == [start, start + 9]
    assert done.starts("vector1") == [start + 1, start + 10]


def test_accumulations_take_turns_on_the_tensor_cores() -> None:
    """All tiles of one accumulation and its drain stay on one array; the next goes to the other."""
    text = integers(gp1=4096, gp2=8192) + (
        "M_MM gp0, gp0\nM_MM gp0, gp0\nM_MM_WO gp1, gp0\nM_MM gp0, gp0\nM_MM_WO gp2, gp0"
    )
    done = run(text, machine(tensor={"units": 2}))
    start = FIRST + 2
    assert done.starts("tensor0") == [start, start + 8, start + 16]
    assert done.starts("tensor1") == [start + 3, start + 11]
