"""A comparison's rows: what a method takes, and as table, CSV and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import attrs

from archsim.units import PS_PER_SECOND

BASELINE = "llada"


@attrs.frozen(kw_only=True)
class Row:
    """What a method takes; all zeros and the reason in `error` where it could not run."""

    method: str
    model: str
    error: str = ""
    forwards: int = 0
    simulated: int = 0
    tokens: int = 0
    time_ps: int = 0
    hbm_bytes: int = 0
    sampling_ps: int = 0
    bound: str = ""

    @property
    def tokens_per_second(self) -> float:
        """Tokens per second of simulated time."""
        return self.tokens * PS_PER_SECOND / self.time_ps if self.time_ps else 0.0


def records(rows: Sequence[Row]) -> list[dict[str, object]]:
    """The table's columns of every row, unrounded; a row that did not run has its error alone."""
    base = next((row.tokens_per_second for row in rows if row.method == BASELINE and not row.error), 0.0)
    return [_record(row, base) for row in rows]


def _record(row: Row, base: float) -> dict[str, object]:
    out: dict[str, object] = {"method": row.method, "model": row.model}
    if row.error:
        return out | {"error": row.error}
    return out | {
        "forwards": row.forwards,
        "simulated": row.simulated,
        "tokens_per_forward": row.tokens / row.forwards,
        "ms_per_forward": row.time_ps / row.forwards / 1e9,
        "tokens_per_s": row.tokens_per_second,
        "speedup": row.tokens_per_second / base if base else None,
        "hbm_bytes_per_token": row.hbm_bytes / row.tokens,
        "bound": row.bound,
        "sampling_share": row.sampling_ps / row.time_ps,
    }


def table(rows: Sequence[Row]) -> str:
    """The rows as text, with what was sampled below."""
    width = max([20, *(len(row.method) for row in rows)])
    head = f"{'method':<{width}} {'forwards':>8} {'tok/fwd':>8} {'ms/fwd':>9} {'tok/s':>9} {'speed-up':>8} "
    lines = [head + f"{'HBM MB/tok':>10} {'bound':>8} {'sampling':>8}"]
    for row, data in zip(rows, records(rows), strict=True):
        if row.error:
            lines.append(f"{row.method:<{width}} {row.error}")
            continue
        speedup = "-" if data["speedup"] is None else f"{data['speedup']:.2f}"
        lines.append(
            f"{row.method:<{width}} {row.forwards:>8} {data['tokens_per_forward']:>8.2f} "
            f"{data['ms_per_forward']:>9.3f} {data['tokens_per_s']:>9.2f} {speedup:>8} "
            f"{row.hbm_bytes / row.tokens / 1e6:>10.1f} {row.bound:>8} {data['sampling_share']:>8.1%}"
        )
    ran = [row for row in rows if not row.error]
    done, total = sum(row.simulated for row in ran), sum(row.forwards for row in ran)
    return "\n".join([*lines, f"sampled: {done} of {total} forwards simulated"]) + "\n"


def csv_text(rows: Sequence[Row]) -> str:
    """The records with a heading; columns that a row lacks stay empty."""
    data, out = records(rows), io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(key for row in data for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(data)
    return out.getvalue()
