"""Reading the executed schedule oracles in tests/data/oracles."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from workloads.forwards import Forward, Schedule

ORACLES = Path(__file__).parents[1] / "data" / "oracles"
Row = dict[str, str]


def rows(file: str) -> list[Row]:
    """The rows of an oracle, without its comments."""
    text = (ORACLES / file).read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in text if not line.startswith("#")))


def expand(text: str) -> list[int]:
    """A run-length encoded list: "24x2 8" is 24 24 8."""
    values: list[int] = []
    for run in text.split():
        value, _, count = run.partition("x")
        values += [int(value)] * int(count or 1)
    return values


def label(row: Row) -> str:
    """A test's name: the row's short fields."""
    return "-".join(value for value in list(row.values())[:9] if value and len(value) < 20)


def integers(row: Row, *keys: str) -> dict[str, Any]:
    """Those fields of a row as integers."""
    return {key: int(row[key]) for key in keys}


def column(forwards: Iterable[Forward], name: str) -> list[Any]:
    """One field of every forward."""
    return [getattr(forward, name) for forward in forwards]


def check(schedule: Schedule, row: Row, *columns: str) -> list[Forward]:
    """Compare those columns, the number of forwards and the masks left; returns the forwards."""
    forwards = list(schedule.forwards())
    for name in columns:
        assert column(forwards, name) == expand(row[name]), name
    assert len(forwards) == int(row["forwards"])
    assert column(forwards, "index") == list(range(len(forwards)))
    return forwards
