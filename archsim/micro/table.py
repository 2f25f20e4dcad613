"""Recorded tables of other tools."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from archsim.errors import ConfigError


def read_table(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """Rows of a CSV table, comment lines skipped; raises ConfigError where there are none, or one lacks a column."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    for name in columns:
        if not rows or name not in rows[0]:
            raise ConfigError(str(path), name, "a table with this column and at least one row")
    return rows
