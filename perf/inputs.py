"""Programs that the benchmarks share, and how a run is timed."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path
from time import perf_counter

from archsim import MachineParams, Program, assemble, read_program, simulate
from archsim.elaborate import build
from archsim.errors import WorkloadError
from archsim.run import collect
from workloads.__main__ import main as workloads_main

FLAGSHIP = (
    "llada-8b --schedule llada --cache dual --prompt 128 --gen 256 --block 32 --steps 256 --batch 1 --machine dart-2048"
)
"""LLaDA-8B generating 256 tokens in blocks of 32 with a dual cache; forward 0 is warm, 1 to 31 refine."""

GEMM = """\
; 128 rows of X, 2048 wide, times a stream of weight tiles that ring through the Matrix SRAM.
S_LUI_INT gp1, 64               ; elements of a tile, MLEN x BLEN = 262,144
S_LUI_INT gp2, 131072           ; scales start 512 MiB after the codes
C_SET_SCALE_REG gp2
S_LUI_INT gp6, 2048             ; Y in Vector SRAM, after X
S_ADDI_INT gp7, gp0, {outer}
C_LOOP_START_R gp15, gp7
S_ADDI_INT gp4, gp0, 0
C_LOOP_START gp14, 32
H_PREFETCH_M gp4, gp5, a0
S_ADD_INT gp5, gp5, gp1
M_MM gp4, gp0
M_MM_WO gp6, 0
S_ADD_INT gp4, gp4, gp1
C_LOOP_END gp14
C_LOOP_END gp15
C_BREAK
"""


def weight_stream(tiles: int) -> Program:
    """A GEMM bound by its weights: one prefetch, one tile product and one write-back for each tile."""
    if tiles % 32:
        raise ValueError(f"{tiles} tiles; expected a multiple of 32")
    return Program(instructions=tuple(assemble(GEMM.format(outer=tiles // 32))))


def assembly_text(lines: int) -> str:
    """`lines` lines of assembly, of which one in eight differs from all lines before it."""
    body = (
        "V_ADD_VV gp1, gp2, gp3, 0",
        "M_MM gp4, gp5",
        "V_RED_SUM f1, gp7, 0, 0",
        "H_PREFETCH_M gp4, gp5, a0, 0, 1",
        "S_ADD_INT gp1, gp2, gp3            ; next row",
        "S_LD_INT gp9, gp8, 16",
        "V_EXP_V gp3, gp3",
    )
    text = []
    for line in range(lines):
        text.append(f"S_ADDI_INT gp1, gp2, {line % 2**18}" if line % 8 == 7 else body[line % 8])
    return "\n".join(text)


def lower(window: str, path: Path) -> None:
    """Lower the flagship's forwards of `window` to a trace; raises WorkloadError where that fails."""
    with contextlib.redirect_stdout(io.StringIO()):
        failed = workloads_main([*FLAGSHIP.split(), "--forwards", window, "-o", str(path)])
    if failed:
        raise WorkloadError(f"forwards {window} of the flagship: no trace; expected one")


def flagship(window: str) -> Program:
    """The flagship's forwards of `window` as a program."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "flagship.trace"
        lower(window, path)
        return read_program(path)


def count_instructions(program: Program, params: MachineParams) -> int:
    """Dynamic instructions of a run."""
    return simulate(program, params).instructions


def timed_runs(loops: int, program: Program, params: MachineParams) -> float:
    """Seconds that `loops` runs take, without their elaboration, which does not grow with the run."""
    total = 0.0
    for _ in range(loops):
        machine = build(program, params)
        start = perf_counter()
        machine.sim.run()
        collect(machine)
        total += perf_counter() - start
    return total
