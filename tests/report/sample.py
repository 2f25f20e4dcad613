"""A result made by hand, small enough to check every figure of a report on paper."""

from __future__ import annotations

from typing import Any

from archsim.results import STALL_CAUSES, Bounds, LinkRecord, PhaseRecord, RunResult, StepRecord, UnitRecord

CYCLES = 3_000_000


def unit(busy: int, instructions: int = 0, *, extra: dict[str, int] | None = None, **stalls: int) -> UnitRecord:
    """A unit whose idle cycles are what is left of the run."""
    full = dict.fromkeys(STALL_CAUSES, 0) | stalls
    idle = CYCLES - busy - sum(full.values())
    return UnitRecord(
        busy_cycles=busy, idle_cycles=idle, stall_cycles=full, instructions=instructions, extra=extra or {}
    )


def bounds(compute: int, vector: int, hbm: int, noc: int, issue: int) -> Bounds:
    return Bounds(compute_ps=compute, vector_ps=vector, hbm_ps=hbm, noc_ps=noc, issue_ps=issue)


def phase(name: str, step: str, operator: str, time_ps: int) -> PhaseRecord:
    return PhaseRecord(
        name=name,
        step=step,
        operator=operator,
        count=32,
        time_ps=time_ps,
        instructions=10,
        tensor_cycles=20,
        vector_cycles=30,
        hbm_read_bytes=40,
        hbm_write_bytes=50,
        noc_bytes=60,
    )


MS = 10**9
PROGRAM = bounds(1_000 * 10**6, 900 * 10**6, 2_700 * 10**6, 500 * 10**6, 10**6)
IDEAL = bounds(900 * 10**6, 500 * 10**6, 2_400 * 10**6, 400 * 10**6, 10**5)
BOUNDS = {"program": PROGRAM, "ideal": IDEAL}
WARM = {"program": bounds(10**9, 9, 1_800_000_000, 5, 1), "ideal": bounds(1_500_000_000, 5, 10**9, 4, 1)}


def sample(**changes: Any) -> RunResult:
    """3 ms on two cores: one warm forward of 2 ms, one refine forward of 1 ms, 3 tokens committed."""
    fields: dict[str, Any] = {
        "complete": True,
        "machine": {"name": "pair", "core": {"vlen": 2048}},
        "program": {"name": "llada-8b"},
        "schedule": {"name": "dual", "block": 32},
        "issue": "overlap",
        "time_ps": 3 * MS,
        "cycles": CYCLES,
        "instructions": 123_456,
        "opcodes": {"M_MM": {"count": 100, "busy_cycles": 12_800}, "V_EXP_V": {"count": 7, "busy_cycles": 14}},
        "units": {
            "core0.tensor": unit(1_000_000, 100, operand=500_000, hbm=1_000_000),
            "core1.tensor": unit(1_000_000, 100, operand=500_000, hbm=1_000_000),
            "core0.dma0": unit(2_700_000, 9, noc=300_000, extra={"read_bytes": 2_000_000_000}),
            "core1.dma1": unit(2_700_000, 9, barrier=1, fetch=1, dma=1),
            "core0.kv": unit(0),
            "core1.kv": unit(0),
        },
        "hbm": {
            "read_bytes": 2_000_000_000,
            "write_bytes": 48_000_000,
            "row_hits": 999,
            "row_misses": 1,
            "row_conflicts": 0,
            "refreshes": 42,
        },
        "hbm_peak_bytes_per_s": 819_200_000_000,
        "noc_bytes": 2_048_000_000,
        "noc_hop_bytes": 4_096_000_000,
        "links": (
            LinkRecord(source="hbm0", target="r0", bytes=64, busy_ps=MS),
            LinkRecord(source="r0", target="core0", bytes=128, busy_ps=2 * MS),
        ),
        "phases": (
            phase("layer/attention", "warm", "attention", 1_200_000_000),
            phase("layer/kv", "warm", "kv_store", 800_000_000),
            phase("layer/attention", "refine", "attention", 600_000_000),
            phase("sampling", "refine", "sampling", 400_000_000),
        ),
        "steps": (
            StepRecord(step="warm", forwards=1, time_ps=2 * MS, committed=1, bounds=WARM),
            StepRecord(step="refine", forwards=1, time_ps=MS, committed=2, bounds={}),
        ),
        "bounds": BOUNDS,
        "committed_tokens": 3,
        "forwards": 2,
        "notes": ("weights are synthetic",),
    }
    return RunResult(**{**fields, **changes})
