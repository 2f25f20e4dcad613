"""The published d-PLENA sampler beside ours: cycles by kind of instruction, and what overlap makes of it.

Published: arXiv 2601.20706 v1, sampler at batch 16, 32 positions, LLaDA's vocabulary, one step; the
cycle table is for VLEN 2048, the others are latencies. Our machine has one constant fitted, the
fixed part of a blocking transfer, at VLEN 2048; the totals of VLEN 1024 and 512 are predictions.
"""

from __future__ import annotations

import attrs

from archsim import MachineParams, RunResult, load_machine, simulate
from archsim.units import human_time
from workloads.lowering.machine_view import MachineView, matrix_cells
from workloads.sampler_own import own_sampler
from workloads.sampler_published import published_sampler

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

PER_MILLE: dict[int, dict[str, int]] = {
    2048: {"vector": 0, "scalar + control": 10, "memory": 20, "total": 20},
    1024: {"total": 50},
    512: {"total": 50},
}
"""Largest error allowed, in thousandths. How scalar and control divide is a matter of the compiler."""

_KINDS = {"V": "vector", "S": "scalar", "C": "control"}


@attrs.frozen(kw_only=True)
class Row:
    """One figure of the comparison, in cycles; `allowed` in thousandths, None where none is set."""

    vlen: int
    what: str
    ours: int
    published: int | None
    allowed: int | None

    @property
    def good(self) -> bool:
        """Whether the error is within what is allowed."""
        if self.published is None or self.allowed is None:
            return True
        return 1000 * abs(self.ours - self.published) <= self.allowed * self.published


def machine_name(vlen: int) -> str:
    """The preset of the published set-up."""
    return f"d-plena-{vlen}"


def view_of(params: MachineParams) -> MachineView:
    """The sizes of a machine that a lowering looks at."""
    core = params.core
    return MachineView(
        name=params.name,
        cores=params.cores,
        mlen=core.mlen,
        blen=core.blen,
        hlen=core.hlen,
        vlen=core.vlen,
        matrix_cells=matrix_cells(params.matrix_sram.capacity),
        vector_vectors=params.vector_sram.elements // core.vlen,
        fp_words=params.scalar_memory.fp_words,
        int_words=params.scalar_memory.int_words,
        kv_slots=params.kv_engine.slots,
        hbm_bytes=params.memory.capacity,
        channels=params.memory.channels * params.memory.pseudo_channels,
        layer_stride_bytes=1,
    )


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


def serial_rows(params: MachineParams) -> list[Row]:
    """The published program under serial issue, figure by figure."""
    vlen = params.core.vlen
    ours = split(simulate(published_sampler(vlen), params, issue="serial"))
    published, allowed = PUBLISHED.get(vlen, {}), PER_MILLE.get(vlen, {})
    return [
        Row(vlen=vlen, what=what, ours=cycles, published=published.get(what), allowed=allowed.get(what))
        for what, cycles in ours.items()
    ]


def overlap_rows(params: MachineParams) -> list[Row]:
    """The published program and our own lowering under overlapped issue, beside the published total."""
    vlen = params.core.vlen
    programs = {"same program": published_sampler(vlen), "our lowering": own_sampler(view_of(params))}
    return [
        Row(
            vlen=vlen,
            what=name,
            ours=simulate(program, params, issue="overlap").cycles,
            published=PUBLISHED.get(vlen, {}).get("total"),
            allowed=None,
        )
        for name, program in programs.items()
    ]


def render(title: str, rows: list[Row]) -> str:
    """A table of rows as text."""
    lines = [title, f"{'VLEN':>5}  {'':<17}{'ours':>11}{'time':>12}{'published':>12}{'error':>11}{'allowed':>10}"]
    lines += [_line(row) for row in rows]
    return "\n".join(lines)


def _line(row: Row) -> str:
    text = f"{row.vlen:>5}  {row.what:<17}{row.ours:>11,}{human_time(row.ours * 1000):>12}"
    if row.published is None:
        return text
    error = 100 * (row.ours - row.published) / row.published
    text += f"{row.published:>12,}{error:>+9.2f} %"
    if row.allowed is None:
        return text
    return f"{text}{row.allowed / 10:>8.1f} %{'' if row.good else '  OUTSIDE'}"


def table() -> str:
    """The whole comparison on the presets of the published set-ups, as `archsim validate sampler` prints it."""
    machines = [load_machine(machine_name(vlen)) for vlen in PUBLISHED]
    serial = [row for params in machines for row in serial_rows(params)]
    overlap = [row for params in machines for row in overlap_rows(params)]
    return "\n\n".join(
        (
            "d-PLENA sampler (arXiv 2601.20706 v1): batch 16, 32 positions, vocabulary 126464, one step, 1 GHz",
            render("serial issue, the published program (cycles)", serial),
            render("overlapped issue, beside the published serial total", overlap),
        )
    )
