"""`archsim validate`: our figures beside those of others, one table for every part of the simulator.

Each part's rows come from modules with a function `rows(full) -> Iterator[Row]`, loaded when asked for: all of
them when `full`, else a fixed selection that takes about a minute. What the others measured lies in
`archsim/micro/data`; the command line knows which modules make which part.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

DATA = Path(__file__).parent / "data"
"""Tables measured with other tools; each names its tool and version."""

_HEADING = f"{'part':<8} {'what':<66} {'theirs':>10} {'ours':>10} {'error':>9} {'allowed':>8}"


@attrs.frozen(kw_only=True)
class Row:
    """One figure of `unit`: theirs beside ours; None where there is none, such as the latency of a network that
    saturates.

    `tolerance` is the largest relative error allowed, None where the figure is only shown; `note` says why a
    figure stands apart.
    """

    unit: str
    what: str
    theirs: float | None
    ours: float | None
    tolerance: float | None = None
    note: str = ""

    @property
    def error(self) -> float | None:
        """(ours - theirs) / theirs."""
        return None if self.ours is None or not self.theirs else (self.ours - self.theirs) / self.theirs

    @property
    def ok(self) -> bool:
        """Within the tolerance, or without one."""
        if self.tolerance is None:
            return True
        if self.ours is None or self.theirs is None:
            return False
        return abs(self.ours - self.theirs) <= self.tolerance * abs(self.theirs)


def rows(modules: Iterable[str], full: bool) -> Iterator[Row]:
    """The rows of some modules, in order, each as soon as it is measured."""
    for module in modules:
        yield from importlib.import_module(module).rows(full)


def lines(table: Iterable[Row], seen: list[Row]) -> Iterator[str]:
    """The table line by line, each as soon as its row is there; collects the rows in `seen`."""
    yield _HEADING
    for row in table:
        seen.append(row)
        yield line(row)
    yield summary(seen)


def line(row: Row) -> str:
    """One row as text."""
    error, allowed = row.error, row.tolerance
    cells = (
        f"{row.unit:<8} {row.what:<66} {_figure(row.theirs):>10} {_figure(row.ours):>10}",
        f"{'-' if error is None else format(100 * error, '+.2f') + ' %':>9}",
        f"{'-' if allowed is None else format(100 * allowed, 'g') + ' %':>8}",
        "" if row.ok else " OUTSIDE",
        f" {row.note}" if row.note else "",
    )
    return " ".join(cells[:3]) + "".join(cells[3:])


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 10_000 or value == int(value) else f"{value:.5g}"


def summary(table: Sequence[Row]) -> str:
    """How many figures are held to a tolerance, and how many miss it."""
    missed = sum(not row.ok for row in table)
    return f"{missed} of {sum(row.tolerance is not None for row in table)} figures with a tolerance miss it"


def dumps(table: Sequence[Row]) -> str:
    """The rows as a JSON list, with `error` and `ok`."""
    found: list[dict[str, Any]] = [attrs.asdict(row) | {"error": row.error, "ok": row.ok} for row in table]
    return json.dumps(found, indent=1) + "\n"
