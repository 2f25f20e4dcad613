"""The published d-PLENA sampler beside ours: cycles by kind of instruction, and what overlap makes of it.

Published: arXiv 2601.20706 v1, sampler at batch 16, 32 positions, LLaDA's vocabulary, one step; the
cycle table is for VLEN 2048, the others are latencies. Our machine has one constant fitted, the
fixed part of a blocking transfer, at VLEN 2048; the totals of VLEN 1024 and 512 are predictions.
"""

from __future__ import annotations

from collections.abc import Iterator

from archsim import MachineParams, RunResult, load_machine, simulate
from archsim.micro.validation import Row
from workloads.lowering.plan.machine_view import view_of
from workloads.validation.own import own_sampler
from workloads.validation.published import published_sampler

PUBLISHED: dict[int, dict[str, int]] = {
    2048: {
        "vector": 477_696,
        "scalar": 117_412,
        "control": 3_609,
        "scalar + control": 121_021,
        "memory": 392_320,
        "total": 991_038,
    },
    1024: {"total": 1_790_000},
    512: {"total": 3_410_000},
}
"""Cycles at 1 GHz by VLEN."""

TOLERANCE: dict[int, dict[str, float]] = {
    2048: {"vector": 0.0, "scalar + control": 0.01, "memory": 0.02, "total": 0.02},
    1024: {"total": 0.05},
    512: {"total": 0.05},
}
"""Largest relative error allowed. How scalar and control divide is a matter of the compiler."""

_KINDS = {"V": "vector", "S": "scalar", "C": "control"}


def machine_name(vlen: int) -> str:
    """The preset of the published set-up."""
    return f"d-plena-{vlen}"


def split(result: RunResult) -> dict[str, int]:
    """Cycles of a serial run by kind of instruction; what no instruction was busy for is memory."""
    cycles = dict.fromkeys((*_KINDS.values(), "scalar + control", "memory"), 0)
    for mnemonic, row in result.opcodes.items():
        kind = _KINDS.get(mnemonic[0])
        if kind is not None:
            cycles[kind] += row["busy_cycles"]
    cycles["scalar + control"] = cycles["scalar"] + cycles["control"]
    cycles["memory"] = result.cycles - cycles["vector"] - cycles["scalar + control"]
    return {**cycles, "total": result.cycles}


def rows(full: bool) -> Iterator[Row]:
    """The published program on the presets of the published set-ups, then under overlapped issue: all, or the first."""
    machines = [load_machine(machine_name(vlen)) for vlen in PUBLISHED]
    for params in machines:
        yield from serial_rows(params)
    for params in machines if full else machines[:1]:
        yield from overlap_rows(params)


def serial_rows(params: MachineParams) -> list[Row]:
    """The published program under serial issue, figure by figure."""
    vlen = params.core.vlen
    ours = split(simulate(published_sampler(vlen), params, issue="serial"))
    published, allowed = PUBLISHED.get(vlen, {}), TOLERANCE.get(vlen, {})
    return [_row(vlen, f"{what} cycles", ours[what], published.get(what), allowed.get(what)) for what in ours]


def overlap_rows(params: MachineParams) -> list[Row]:
    """The published program and our own lowering under overlapped issue, beside the published serial total."""
    vlen = params.core.vlen
    programs = {"same program": published_sampler(vlen), "own lowering": own_sampler(view_of(params))}
    return [
        _row(
            vlen,
            f"total cycles, {name}, overlapped",
            simulate(program, params, issue="overlap").cycles,
            PUBLISHED.get(vlen, {}).get("total"),
            note="theirs is serial",
        )
        for name, program in programs.items()
    ]


def _row(
    vlen: int, what: str, ours: int, published: int | None, tolerance: float | None = None, note: str = ""
) -> Row:
    what = f"VLEN {vlen}, {what}"
    return Row(unit="sampler", what=what, theirs=published, ours=ours, tolerance=tolerance, note=note)
