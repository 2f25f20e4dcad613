"""One HBM channel beside Ramulator 2.1, row by row of a table that Ramulator measured.

Tolerances: 2 % of the bandwidth of streams, 5 % of random traffic, 10 % of mixes of reads and writes; 10 % of
latencies. Row hits, misses and conflicts are shown. The controller, command by command, is held to every row; the
closed form that machines run on ("machine" rows) to the bandwidth of saturated traffic.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs

from archsim.memory.timing import find_timing
from archsim.micro.hbm_machine import measure_machine
from archsim.micro.hbm_measure import HbmLoad, HbmResult, measure
from archsim.micro.table import read_table
from archsim.micro.validation import DATA, Row

RECORD = DATA / "ramulator2_hbm.csv"
STREAM_TOLERANCE, RANDOM_TOLERANCE, MIX_TOLERANCE, LATENCY_TOLERANCE = 0.02, 0.05, 0.10, 0.10
QUICK_REQUESTS = 20_000
"""Requests of a row that are offered when not all rows are measured in full."""
UNRECORDED_REQUESTS = 60_000
"""Requests of the rows whose record does not tell their number."""

_STANDARDS = {"HBM2": "HBM2-2000", "HBM3": "HBM3-6400"}
_PATTERNS = {
    "stream_bankinterleaved_saturated": "stream-bank",
    "seq_rowmajor_saturated": "stream-row",
    "random_saturated": "random",
    "random_saturated_vec": "random",
    "stream+random_probe_loadlatency": "probe",
}
_FIGURES = {
    "total_GBps": "GB/s",
    "avg_read_latency_ns": "read latency, ns",
    "probe_latency_ns": "probe latency, ns",
    "row_hits": "row hits",
    "row_misses": "row misses",
    "row_conflicts": "row conflicts",
}
_COLUMNS = ("standard", "kind", "read_pct", "refresh", "nop", *_FIGURES)


@attrs.frozen(kw_only=True)
class OracleRow:
    """One run of the other simulator: the load, and its figures by their names in `HbmResult`."""

    standard: str
    load: HbmLoad
    figures: dict[str, float]

    @property
    def name(self) -> str:
        """The load in words."""
        load = self.load
        gap = f" gap {load.gap}" if load.gap > 1 else ""
        return f"{self.standard} {load.pattern}{gap}, {load.read_pct} % reads{'' if load.refresh else ', no refresh'}"

    @property
    def tolerance(self) -> float:
        """Of the bandwidth."""
        if 0 < self.load.read_pct < 100:
            return MIX_TOLERANCE
        return RANDOM_TOLERANCE if self.load.pattern == "random" else STREAM_TOLERANCE


def read_oracle(path: Path = RECORD) -> list[OracleRow]:
    """Rows of a table, comment lines skipped; raises ConfigError for one that lacks a column."""
    return [_read_row(row) for row in read_table(path, _COLUMNS)]


def _read_row(row: dict[str, str]) -> OracleRow:
    figures = {name: float(row[name]) for name in _FIGURES if row[name]}
    served = sum(figures.get(name, 0) for name in ("row_hits", "row_misses", "row_conflicts"))
    load = HbmLoad(
        pattern=_PATTERNS[row["kind"]],
        read_pct=int(row["read_pct"]),
        refresh=row["refresh"] == "True",
        gap=int(row["nop"]),
        requests=int(served) or UNRECORDED_REQUESTS,
    )
    return OracleRow(standard=_STANDARDS[row["standard"]], load=load, figures=figures)


def rows(full: bool) -> Iterator[Row]:
    """Every row of the record, and the saturated ones on the machines' memory; shortened unless `full`."""
    for theirs in read_oracle():
        requests = theirs.load.requests if full else min(theirs.load.requests, QUICK_REQUESTS)
        load = attrs.evolve(theirs.load, requests=requests)
        yield from _controller_rows(theirs, measure(find_timing(theirs.standard), load), full)
        if load.pattern != "probe":
            yield _machine_row(theirs, measure_machine(theirs.standard, theirs.load, "run"))


def _controller_rows(theirs: OracleRow, ours: HbmResult, full: bool) -> Iterator[Row]:
    for name, figure in theirs.figures.items():
        if name.startswith("row_") and not full:
            continue
        tolerance = LATENCY_TOLERANCE if name.endswith("_ns") else None
        yield Row(
            unit="hbm",
            what=f"{theirs.name}: {_FIGURES[name]}",
            theirs=figure,
            ours=getattr(ours, name),
            tolerance=theirs.tolerance if name == "total_GBps" else tolerance,
        )


def _machine_row(theirs: OracleRow, ours: HbmResult) -> Row:
    return Row(
        unit="hbm",
        what=f"machine, {theirs.name}: GB/s",
        theirs=theirs.figures["total_GBps"],
        ours=ours.total_GBps,
        tolerance=theirs.tolerance,
    )
