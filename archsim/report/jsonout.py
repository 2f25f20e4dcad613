"""A result as JSON: the same keys always, integers where exact, nothing of the host."""

from __future__ import annotations

import json
from typing import Any

import attrs

from archsim.report.account import per_second, tokens_per_second
from archsim.results import FORMAT_VERSION, STALL_CAUSES, Bounds, RunResult, UnitRecord

HBM_COUNTERS = ("read_bytes", "write_bytes", "row_hits", "row_misses", "row_conflicts", "refreshes")
"""Counters that every result names; null where the memory model does not keep one."""

BOUND_KINDS = ("ideal", "program")


def to_dict(result: RunResult) -> dict[str, Any]:
    """The result as plain dicts, lists, ints and strings; `docs/stats.md` explains each key."""
    return {
        "format_version": FORMAT_VERSION,
        "machine": result.machine,
        "program": result.program,
        "schedule": result.schedule,
        "complete": result.complete,
        "issue": result.issue,
        "time_ps": result.time_ps,
        "cycles": result.cycles,
        "instructions": result.instructions,
        "opcodes": {name: _opcode(counts) for name, counts in result.opcodes.items()},
        "units": {path: _unit(unit) for path, unit in result.units.items()},
        "hbm": _hbm(result),
        "noc": {
            "bytes": result.noc_bytes,
            "hop_bytes": result.noc_hop_bytes,
            "links": [attrs.asdict(link) for link in result.links],
        },
        "phases": [attrs.asdict(phase) for phase in result.phases],
        "steps": [{**attrs.asdict(step), "bounds": _bounds(step.bounds)} for step in result.steps],
        "bounds": _bounds(result.bounds),
        "tokens_per_s": tokens_per_second(result),
        "committed_tokens": result.committed_tokens,
        "forwards": result.forwards,
        "notes": list(result.notes),
    }


def dumps(result: RunResult) -> str:
    """Text of `to_dict`: sorted keys, ending in a newline; equal results give equal bytes."""
    return json.dumps(to_dict(result), sort_keys=True, indent=1, allow_nan=False) + "\n"


def _opcode(counts: dict[str, int]) -> dict[str, int]:
    return {"count": counts.get("count", 0), "busy_cycles": counts.get("busy_cycles", 0)}


def _unit(unit: UnitRecord) -> dict[str, Any]:
    return {
        **unit.extra,
        "busy_cycles": unit.busy_cycles,
        "idle_cycles": unit.idle_cycles,
        "stall_cycles": {cause: unit.stall_cycles.get(cause, 0) for cause in STALL_CAUSES},
        "instructions": unit.instructions,
    }


def _hbm(result: RunResult) -> dict[str, int | None]:
    moved = result.hbm.get("read_bytes", 0) + result.hbm.get("write_bytes", 0)
    return {
        **dict.fromkeys(HBM_COUNTERS),
        **result.hbm,
        "bandwidth_bytes_per_s": per_second(moved, result.time_ps),
        "peak_bytes_per_s": result.hbm_peak_bytes_per_s,
    }


def _bounds(bounds: dict[str, Bounds]) -> dict[str, dict[str, int | None]]:
    unknown: dict[str, int | None] = dict.fromkeys(field.name for field in attrs.fields(Bounds))
    return {kind: attrs.asdict(bounds[kind]) if kind in bounds else dict(unknown) for kind in BOUND_KINDS}
