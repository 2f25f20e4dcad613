"""A result as CSV files for spreadsheets: one file a table, the unit of measure in each column's name."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from archsim.report.account import largest, per_second, tokens_per_second
from archsim.report.jsonout import HBM_COUNTERS
from archsim.report.stats import explain
from archsim.results import STALL_CAUSES, LinkRecord, PhaseRecord, RunResult, UnitRecord

Row = Sequence[object]


def tables(result: RunResult) -> dict[str, str]:
    """File name -> CSV text of every table, lines ending in a single newline."""
    return {
        "summary.csv": _text(("name", "value", "unit"), _summary(result)),
        "units.csv": _units(result),
        "opcodes.csv": _text(
            ("mnemonic", "count", "busy_cycles"),
            ((name, row.get("count", 0), row.get("busy_cycles", 0)) for name, row in result.opcodes.items()),
        ),
        "phases.csv": _records(PhaseRecord, result.phases),
        "links.csv": _records(LinkRecord, result.links),
    }


def write(result: RunResult, folder: Path) -> None:
    """Write the tables into `folder`, which is made if it is not there; raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in tables(result).items():
        (folder / name).write_text(text, encoding="utf-8", newline="")


def _text(head: Row, rows: Iterable[Row]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return buffer.getvalue()


def _records(kind: type[attrs.AttrsInstance], records: Iterable[attrs.AttrsInstance]) -> str:
    return _text([field.name for field in attrs.fields(kind)], (attrs.astuple(record) for record in records))


def _units(result: RunResult) -> str:
    extras = sorted({name for unit in result.units.values() for name in unit.extra})
    stalls = [f"stall_{cause}_cycles" for cause in STALL_CAUSES]
    head = ("unit", "instructions", "busy_cycles", *stalls, "idle_cycles", *extras)
    return _text(head, (_unit(path, unit, extras) for path, unit in result.units.items()))


def _unit(path: str, unit: UnitRecord, extras: Sequence[str]) -> Row:
    stalls = [unit.stall_cycles.get(cause, 0) for cause in STALL_CAUSES]
    own = [unit.extra.get(name, "") for name in extras]
    return (path, unit.instructions, unit.busy_cycles, *stalls, unit.idle_cycles, *own)


def _summary(result: RunResult) -> Iterable[Row]:
    yield "machine", result.machine.get("name", ""), ""
    yield "program", result.program.get("name", ""), ""
    yield "issue", result.issue, ""
    yield "complete", int(result.complete), "0 or 1"
    yield "time", result.time_ps, "ps"
    yield "cycles", result.cycles, "cycles"
    yield "instructions", result.instructions, "instructions"
    yield "forwards", result.forwards, "forwards"
    yield "committed_tokens", result.committed_tokens, "tokens"
    yield "tokens_per_s", tokens_per_second(result), "tokens/s"
    moved = result.hbm.get("read_bytes", 0) + result.hbm.get("write_bytes", 0)
    for name in HBM_COUNTERS:
        row = explain(("hbm", name))
        yield f"hbm_{name}", result.hbm.get(name, ""), row.unit if row else ""
    yield "hbm_bandwidth", per_second(moved, result.time_ps), "bytes/s"
    yield "hbm_peak", result.hbm_peak_bytes_per_s, "bytes/s"
    yield "noc", result.noc_bytes, "bytes"
    yield "noc_hops", result.noc_hop_bytes, "bytes x hops"
    for kind in ("program", "ideal"):
        name, value = largest(result.bounds, kind) or ("none", "")
        yield f"{kind}_bound_{name}", value, "ps"
