"""What a program must not do, as one line; deadlocks; exit codes; interrupts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from archsim import MachineParams, simulate
from archsim.cli import main
from archsim.errors import ArchsimError, AssemblyError, MemoryFault, ProgramFault, TraceError
from archsim.isa.program import PhaseInfo
from archsim.kernel.observer import Observer
from archsim.machine import dump_machine
from tests.system.small import FIRST, integers, machine, program, run, serial

VECTORS = 24 * 2**20 // 2
CELLS = 8 * 2**20 * 32 // 17
OPAQUE = "V_RED_MAX_IDX gp9, gp0, gp0, f1\n"


def at(index: int, mnemonic: str) -> str:
    return f"core0.front: instruction {index} ({mnemonic}, line {index + 1})"


MEMORY = {
    "V_EXP_V gp2, gp0": f"{at(5, 'V_EXP_V')}: Vector SRAM [{VECTORS}, {VECTORS + 64}); expected within [0, {VECTORS})",
    "V_EXP_V gp1, gp0": f"{at(5, 'V_EXP_V')}: Vector SRAM address 32; expected a multiple of VLEN = 64",
    "M_MM gp0, gp1": f"{at(5, 'M_MM')}: Vector SRAM address 32; expected a multiple of VLEN = 64",
    "H_PREFETCH_V gp1, gp0, a0": f"{at(5, 'H_PREFETCH_V')}: Vector SRAM address 32; expected a multiple of VLEN = 64",
    "H_PREFETCH_V gp2, gp0, a0": (
        f"{at(5, 'H_PREFETCH_V')}: Vector SRAM [{VECTORS}, {VECTORS + 1024}); expected within [0, {VECTORS})"
    ),
    "H_STORE_V gp1, gp0, a0": f"{at(5, 'H_STORE_V')}: Vector SRAM address 32; expected a multiple of VLEN = 64",
    "N_PUT gp1, gp0, gp0": f"{at(5, 'N_PUT')}: Vector SRAM address 32; expected a multiple of VLEN = 64",
    "N_PUT gp2, gp0, gp0": f"{at(5, 'N_PUT')}: Vector SRAM [{VECTORS}, {VECTORS + 64}); expected within [0, {VECTORS})",
    "S_LD_FP f1, gp2": f"{at(5, 'S_LD_FP')}: FP_MEM [{VECTORS}, {VECTORS + 1}); expected within [0, 8192)",
    "S_MAP_V_FP gp0, gp3": f"{at(5, 'S_MAP_V_FP')}: FP_MEM [8191, 8255); expected within [0, 8192)",
    "S_ST_INT gp0, gp0, 16384": f"{at(5, 'S_ST_INT')}: INT_MEM [16384, 16385); expected within [0, 16384)",
    "S_LD_INT gp6, gp0, 16384": f"{at(5, 'S_LD_INT')}: INT_MEM [16384, 16385); expected within [0, 16384)",
    "H_GATHER_V gp0, gp2, a0": f"{at(5, 'H_GATHER_V')}: INT_MEM [{VECTORS}, {VECTORS + 1}); expected within [0, 16384)",
    "K_CALIB gp0, gp4": f"{at(5, 'K_CALIB')}: KV scale memory [2048, 2049); expected within [0, 2048)",
    "H_PREFETCH_V gp0, gp5, a0": (
        f"{at(5, 'H_PREFETCH_V')}: HBM element offset 16; expected a multiple of the 32-element scale block"
    ),
    "C_SET_STRIDE_REG gp5\nH_PREFETCH_V gp0, gp0, a0, 1": (
        f"{at(6, 'H_PREFETCH_V')}: HBM element stride 16; expected a multiple of the 32-element scale block"
    ),
    "K_STORE gp5, gp0, a0, gp0": (
        f"{at(5, 'K_STORE')}: HBM element offset 16; expected a multiple of the 32-element scale block"
    ),
}
# A number inside a vector, the size of Vector SRAM, the last word of FP_MEM, one slot too many, half a scale block.
SETUP = f"S_LUI_INT gp2, {VECTORS >> 12}\n" + integers(gp1=32, gp3=8191, gp4=2048, gp5=16)


@pytest.mark.parametrize("text", sorted(MEMORY))
def test_memory_faults_are_one_line_with_place_and_range(text: str) -> None:
    for issue in ("serial", "overlap"):
        with pytest.raises(MemoryFault) as caught:
            run(SETUP + text, issue=issue)
        assert str(caught.value) == MEMORY[text]


def test_matrix_sram_has_room_for_its_cells() -> None:
    text = "S_LUI_INT gp1, {}\nS_ADDI_INT gp1, gp1, {}\nM_MM gp1, gp0"
    last = CELLS - 512
    serial(text.format(last >> 12, last % 4096))
    with pytest.raises(MemoryFault) as caught:
        serial(text.format(last + 1 >> 12, (last + 1) % 4096))
    assert str(caught.value) == f"{at(2, 'M_MM')}: Matrix SRAM [{last + 1}, {CELLS + 1}); expected within [0, {CELLS})"


def test_the_last_vector_is_still_inside() -> None:
    text = f"S_LUI_INT gp1, {VECTORS >> 12}\nS_ADDI_INT gp2, gp0, 64\nS_SUB_INT gp1, gp1, gp2\nV_EXP_V gp1, gp1"
    assert serial(text).cycles == 4


def test_hbm_overflow_by_one_byte() -> None:
    """1024 codes at 0 and 32 B of scales at 1024."""
    text = integers(gp1=1024) + "C_SET_SCALE_REG gp1\nH_PREFETCH_V gp0, gp0, a0"
    serial(text, machine(memory={"capacity": 1056}))
    with pytest.raises(MemoryFault) as caught:
        serial(text, machine(memory={"capacity": 1055}))
    assert str(caught.value) == f"{at(2, 'H_PREFETCH_V')}: HBM [1024, 1056); expected within [0, 1055)"


PROGRAM = {
    OPAQUE + "V_EXP_V gp9, gp0": (
        f"{at(1, 'V_EXP_V')}: gp9 holds a value that depends on data; expected a known integer for an address or count"
    ),
    OPAQUE + "C_LOOP_START_R gp1, gp9\nC_LOOP_END gp1": (
        f"{at(1, 'C_LOOP_START_R')}: gp9 holds a value that depends on data; "
        "expected a known integer for an address or count"
    ),
    OPAQUE + "S_ADDI_INT gp9, gp9, 1\nC_SET_V_ROWS gp9, gp9, gp9": (
        f"{at(2, 'C_SET_V_ROWS')}: gp9 holds a value that depends on data; "
        "expected a known integer for an address or count"
    ),
    OPAQUE + "S_ST_INT gp9, gp0, 0\nH_GATHER_V gp0, gp0, a0": (
        f"{at(2, 'H_GATHER_V')}: INT_MEM[0] depends on data; expected gather_ids in the header"
    ),
    OPAQUE + "S_ST_INT gp9, gp0, 0\nS_LD_INT gp1, gp0, 0\nV_EXP_V gp1, gp0": (
        f"{at(3, 'V_EXP_V')}: gp1 holds a value that depends on data; expected a known integer for an address or count"
    ),
    "C_SET_V_ROWS gp0, gp0, gp0": f"{at(0, 'C_SET_V_ROWS')}: 0 rows; expected at least 1",
    "C_SET_M_TILES gp0, gp0": f"{at(0, 'C_SET_M_TILES')}: 0 tiles; expected at least 1",
    "C_SET_M_FETCH gp0, gp0": f"{at(0, 'C_SET_M_FETCH')}: 0 tiles; expected at least 1",
    "C_SET_M_ROWS gp0": f"{at(0, 'C_SET_M_ROWS')}: 0 tile rows; expected 1..8",
    "S_ADDI_INT gp1, gp0, 9\nC_SET_M_ROWS gp1": f"{at(1, 'C_SET_M_ROWS')}: 9 tile rows; expected 1..8",
    "S_ADDI_INT gp1, gp0, 3\nC_SET_V_SEG gp1": f"{at(1, 'C_SET_V_SEG')}: segments of 3 lanes; expected a divisor of 64",
    "C_SET_V_SEG gp0": f"{at(0, 'C_SET_V_SEG')}: segments of 0 lanes; expected a divisor of 64",
    "S_ADDI_INT gp1, gp0, 65\nV_TOPK_MASK gp0, gp0, gp0, gp0, gp1": (
        f"{at(1, 'V_TOPK_MASK')}: length 65; expected 1..64"
    ),
    "S_SELECT_INT gp0, gp0, gp0, gp0, gp1": f"{at(0, 'S_SELECT_INT')}: length 0; expected 1..64",
    "S_ADDI_INT gp1, gp0, 1\nS_SUB_INT gp1, gp0, gp1": (
        f"{at(1, 'S_SUB_INT')}: result -1; expected 0..2^32-1, integers do not wrap"
    ),
    "S_LUI_INT gp1, 0x100000": f"{at(0, 'S_LUI_INT')}: result {2**32}; expected 0..2^32-1, integers do not wrap",
    "S_LUI_INT gp1, 0xfffff\nS_ADDI_INT gp1, gp1, 4096": (
        f"{at(1, 'S_ADDI_INT')}: result {2**32}; expected 0..2^32-1, integers do not wrap"
    ),
    "S_ADDI_INT gp1, gp0, 1\nN_PUT gp0, gp0, gp1": f"{at(1, 'N_PUT')}: core 1; expected one of 0..0",
    "C_PHASE 1": f"{at(0, 'C_PHASE')}: phase 1; expected one of the header's 1",
}


@pytest.mark.parametrize("text", sorted(PROGRAM))
def test_program_faults_are_one_line(text: str) -> None:
    for issue in ("serial", "overlap"):
        with pytest.raises(ProgramFault) as caught:
            run(text, issue=issue, phases=(PhaseInfo("p", "", "p"),))
        assert str(caught.value) == PROGRAM[text]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("V_EXP_V gp1, gp0", "reads Vector SRAM [0, 64) before address 0 was loaded"),
        ("H_PREFETCH_V gp0, gp0, a0\nM_MM gp0, gp0", "reads Matrix SRAM [0, 512) before address 0 was loaded"),
    ],
)
def test_a_program_with_a_memory_map_must_load_what_it_reads(text: str, message: str) -> None:
    regions = ({"name": "x", "base": 0, "bytes": 4096},)
    with pytest.raises(MemoryFault, match=re.escape(message)):
        serial(text, regions=regions)
    serial("H_PREFETCH_V gp0, gp0, a0\nH_PREFETCH_M gp0, gp0, a0\n" + text, regions=regions)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"requires": {"core.mlen": 128}}, "<program>: machine small has core.mlen = 64; the program expects 128"),
        (
            {"requires": {"kv_engine.slots": 4096}},
            "<program>: machine small has kv_engine.slots = 2048; the program expects at least 4096",
        ),
        ({"requires": {"core.speed": 1}}, "<program>: requires core.speed; expected a field of the machine"),
        ({"cores": 2}, "<program>: machine small has 1 cores; the program expects 2"),
        ({"int_mem": ((1,), (2,))}, "<program>: 2 INT_MEM images for 1 cores; expected one for all or one for each"),
        (
            {"int_mem": ((0,) * 16385,)},
            "<program>: machine small has scalar_memory.int_words = 16384; the program's INT_MEM image has 16385",
        ),
    ],
)
def test_a_program_for_another_machine_is_refused(header: dict[str, object], message: str) -> None:
    with pytest.raises(TraceError) as caught:
        run("C_BREAK", **header)
    assert str(caught.value) == message


def test_more_than_what_is_required_is_fine() -> None:
    run("C_BREAK", requires={"machine": "another", "kv_engine.slots": 1, "matrix_sram.capacity": 1})


def test_loops_that_do_not_balance_are_refused() -> None:
    with pytest.raises(AssemblyError):
        run("C_LOOP_START gp1, 2")


def _write(folder: Path, text: str, params: MachineParams) -> list[str]:
    (folder / "x.asm").write_text(text)
    (folder / "m.toml").write_text(dump_machine(params))
    return [str(folder / "x.asm"), "--machine", str(folder / "m.toml")]


@pytest.mark.parametrize(
    ("text", "code", "start"),
    [
        ("V_EXP_V gp0, gp0\n", 0, ""),
        ("S_ADDI_INT gp1, gp0, 1\nV_EXP_V gp1, gp0\n", 1, "archsim: core0.front: instruction 1 (V_EXP_V, line 2): V"),
        ("S_ADDI_INT gp1, gp0, 1\nC_SET_V_SEG gp0\n", 1, "archsim: core0.front: instruction 1 (C_SET_V_SEG, line 2)"),
        ("S_ADDI_INT gp1, gp0, 1\nN_WAIT gp1\n", 1, "archsim: deadlock: core0.front waits for 1 receipts, 0 have come"),
        ("V_EXP_V gp0\n", 2, "archsim: "),
    ],
)
def test_exit_codes(
    text: str, code: int, start: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(_write(tmp_path, text, machine())) == code
    error = capsys.readouterr().err
    assert error.startswith(start)
    assert error.count("\n") == (1 if code else 0)


class Impatient(Observer):
    """Presses Ctrl-C at the n-th instruction that starts on a unit."""

    def __init__(self, count: int) -> None:
        self.left = count

    def slice(self, track: str, name: str, start_ps: int, end_ps: int, phase: int) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


@pytest.mark.parametrize("issue", ["serial", "overlap"])
def test_an_interrupt_gives_what_was_simulated(issue: str) -> None:
    """The 20th instruction to start on a unit is the 10th vector instruction; every account still adds up."""
    text = integers(gp1=4096) + "C_LOOP_START gp2, 100\nH_PREFETCH_V gp0, gp0, a0\nV_PS_V gp1, gp0\nC_LOOP_END gp2"
    whole = simulate(program(text), machine(), issue=issue)
    part = simulate(program(text), machine(), issue=issue, observers=(Impatient(20),))
    assert (whole.complete, part.complete) == (True, False)
    assert FIRST * (issue == "overlap") < part.cycles < whole.cycles
    assert part.units["core0.vector"].instructions == 10
    assert part.committed_tokens == 0
    for name, unit in part.units.items():
        assert unit.busy_cycles + unit.idle_cycles + sum(unit.stall_cycles.values()) == part.cycles, name
        assert min(unit.busy_cycles, unit.idle_cycles, *unit.stall_cycles.values()) >= 0, name


def test_all_run_time_errors_are_archsims() -> None:
    assert issubclass(MemoryFault, ArchsimError)
    assert MemoryFault.exit_code == ProgramFault.exit_code == 1
