"""A comparison's rows as a figure: tokens per second, and where the time of a forward goes."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from archsim.errors import WorkloadError
from workloads.compare.rows import BASELINE, Row, records

FORMATS = (".svg", ".png", ".pdf")
_BARS, _BASE, _HEAD = "#4477aa", "#bbbbbb", "#ee6677"


def check(path: Path) -> None:
    """Raise WorkloadError where the figure could not be drawn, whatever it shows."""
    if path.suffix.lower() not in FORMATS:
        raise WorkloadError(f"--figure {path}: {path.suffix or 'no suffix'}; expected {', '.join(FORMATS)}")
    if importlib.util.find_spec("matplotlib") is None:
        raise WorkloadError(f"--figure {path}: matplotlib is not installed; expected archsim[plots]")


def draw(rows: Sequence[Row], path: str, title: str) -> None:
    """Write the figure; rows that did not run are left out."""
    from matplotlib.figure import Figure

    ran = [row for row in rows if not row.error]
    data = records(ran)
    names, places = [row.method for row in ran], range(len(ran))
    figure = Figure(figsize=(10, 1.4 + 0.42 * len(ran)), layout="constrained")
    figure.suptitle(title)
    speed, forward = figure.subplots(1, 2, sharey=True)
    rates = [row.tokens_per_second for row in ran]
    bars = speed.barh(places, rates, color=[_BASE if name in (BASELINE, "autoregressive") else _BARS for name in names])
    marks = [f"{rate:.0f}" + ("" if row["speedup"] is None else f" ({row['speedup']:.2f}x)")
             for rate, row in zip(rates, data, strict=True)]  # fmt: skip
    speed.bar_label(bars, marks, padding=3, fontsize=8)
    speed.set(xlabel="tokens / s (speed-up over LLaDA); grey: baselines", yticks=list(places), yticklabels=names)
    speed.set_xlim(0, 1.35 * max(rates, default=1.0))
    speed.invert_yaxis()
    whole = [row.time_ps / row.forwards / 1e9 for row in ran]
    head = [row.sampling_ps / row.forwards / 1e9 for row in ran]
    rest = [total - part for total, part in zip(whole, head, strict=True)]
    forward.barh(places, rest, color=_BARS, label="layers")
    forward.barh(places, head, left=rest, color=_HEAD, label="LM head and sampling")
    forward.set(xlabel="ms / forward")
    forward.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, fontsize=8, frameon=False)
    for axes in (speed, forward):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
