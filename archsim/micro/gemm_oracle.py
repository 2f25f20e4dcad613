"""Matrix products beside SCALE-Sim v3, ONNXim and the published tile cost of the flattened array.

SCALE-Sim counts an array by itself, so its cycles must be equal. ONNXim runs a core with double-buffered
weights and 16 channels of HBM2: 1 % where the product is bound by the array, 10 % where it is bound by HBM. What
binds is found by the memory alone: `WIDER` times the channels change nothing much for a product that the array binds.

ONNXim loads weights for 128 cycles before each tile, however few rows stream through it; so do we. With few rows that
is what binds a product, and the array is idle while it does.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from archsim.isa.assembler import assemble
from archsim.isa.program import Program
from archsim.isa.timing.systolic import Gemm, SystolicArray
from archsim.machine import load_machine
from archsim.micro.gemm import in_core
from archsim.micro.table import read_table
from archsim.micro.validation import DATA, Row
from archsim.run import simulate

RECORD = DATA / "gemm_cycles.csv"
SIDE = 128
ARRAY_TOLERANCE, HBM_TOLERANCE = 0.01, 0.10
WIDER, HBM_BOUND = 4, 0.90
"""A product is bound by HBM if with `WIDER` times the memory it takes less than this part of its time."""

TOOLS = {"scalesim": 1, "onnxim_c1": 1, "onnxim_c4": 4}
"""Tools of the record that are compared, and the cores that each one's rows are for."""

QUICK_MACS = 1024 * 4096 * 4096
"""Larger products are run only when all rows are asked for."""

_CLOSED_FORM = "their expression: the run did not fit"
_TILES = 25


@attrs.frozen(kw_only=True)
class OracleRow:
    """One product of the other tool."""

    tool: str
    dataflow: str
    gemm: Gemm
    cycles: int
    measured: bool


def read_record() -> list[OracleRow]:
    """The rows of `RECORD` for `TOOLS`."""
    return [
        OracleRow(
            tool=row["tool"],
            dataflow=row["dataflow"],
            gemm=Gemm(m=int(row["M"]), n=int(row["N"]), k=int(row["K"])),
            cycles=int(row["cycles"]),
            measured=row["kind"] == "measured",
        )
        for row in read_table(RECORD, ("tool", "dataflow", "M", "N", "K", "cycles", "kind"))
        if row["tool"] in TOOLS
    ]


def rows(full: bool) -> Iterator[Row]:
    """Every product that fits the time, the tile cost last."""
    for record in read_record():
        if record.tool == "scalesim":
            yield _isolated(record)
        elif full or record.gemm.macs <= QUICK_MACS:
            yield _in_core(record)
    yield _tile()


def _isolated(record: OracleRow) -> Row:
    array = SystolicArray(rows=SIDE, columns=SIDE, dataflow=record.dataflow)
    return Row(
        unit="gemm",
        what=f"{_name(record.gemm)}, SCALE-Sim {record.dataflow}, cycles",
        theirs=record.cycles,
        ours=array.cycles(record.gemm),
        tolerance=0.0,
        note="" if record.measured else _CLOSED_FORM,
    )


def _in_core(record: OracleRow) -> Row:
    array, cores = SystolicArray(rows=SIDE, columns=SIDE, double_buffer=True), TOOLS[record.tool]
    ours, wide = (in_core(record.gemm, array, cores=cores, hbm=hbm)["cycles"] for hbm in (1, WIDER))
    by_hbm = wide < HBM_BOUND * ours
    bound = "HBM" if by_hbm else "weight-load" if record.gemm.m < SIDE else "array"
    return Row(
        unit="gemm",
        what=f"{_name(record.gemm)}, ONNXim, {f'{cores} cores, ' if cores > 1 else ''}{bound}-bound, cycles",
        theirs=record.cycles,
        ours=ours,
        tolerance=HBM_TOLERANCE if by_hbm else ARRAY_TOLERANCE,
    )


def _name(gemm: Gemm) -> str:
    return f"{gemm.m} x {gemm.n} x {gemm.k}"


def _tile() -> Row:
    """What one more tile costs: BLEN cycles by the public analytic model of PLENA."""
    params = load_machine("dart-2048")
    short, long = (_tiles(count) for count in (_TILES, 2 * _TILES))
    return Row(
        unit="gemm",
        what=f"flattened array, tile of {params.core.blen} x {params.core.mlen} x {params.core.blen}, cycles",
        theirs=params.core.blen,
        ours=(long - short) / _TILES,
        tolerance=0.0,
    )


def _tiles(count: int) -> int:
    """Cycles of `count` tiles of one accumulation on dart-2048."""
    text = f"S_ADDI_INT gp1, gp0, {count}\nC_SET_M_TILES gp1, gp0\nM_MM gp0, gp0\n"
    return simulate(Program(instructions=tuple(assemble(text))), load_machine("dart-2048")).cycles
