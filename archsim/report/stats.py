"""The dictionary of statistics: what each key of the JSON report means, and its unit of measure.

`docs/stats.md` is this table as a page: `python -m archsim.report.stats > docs/stats.md`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import attrs

_RECORD_WORDS = {
    "compute": "tensor core tiles",
    "vector": "vector unit work",
    "hbm": "HBM bytes at peak bandwidth less refresh",
    "noc": "bytes over the narrowest cut of the network",
    "issue": "issue slots",
}


@attrs.frozen
class Statistic:
    """One row: key with <wildcards> ("*" at the end: everything below), unit of measure, meaning."""

    key: str
    unit: str
    meaning: str

    def matches(self, path: tuple[str, ...]) -> bool:
        """Does the row explain the key at `path`?"""
        parts = tuple(self.key.split("."))
        if parts[-1] == "*":
            parts, path = parts[:-1], path[: len(parts) - 1]
        pairs = zip(parts, path, strict=False)
        return len(parts) == len(path) and all(part in (key, "*") or part[0] == "<" for part, key in pairs)


def _bounds(prefix: str, of: str) -> list[Statistic]:
    kinds = {
        "ideal": "from model shape, schedule and machine, whatever the program",
        "program": "from the instructions as emitted",
    }
    return [
        Statistic(f"{prefix}bounds.{kind}.{name}_ps", "ps", f"lower bound of the time {of} by {what}, {how}")
        for kind, how in kinds.items()
        for name, what in _RECORD_WORDS.items()
    ]


STATISTICS = (
    Statistic("format_version", "-", "version of this file's layout"),
    Statistic("machine.*", "-", "the machine: its name and the resolved parameters, as `archsim machine NAME --dump`"),
    Statistic("program.*", "-", "the program: its name and what its header says of model and formats"),
    Statistic("schedule.*", "-", "the denoising schedule, from the program's header"),
    Statistic("complete", "true/false", "false where the run was interrupted; all figures are then up to that time"),
    Statistic("issue", "-", "issue mode: serial (one instruction at a time) or overlap (scoreboard)"),
    Statistic("time_ps", "ps", "simulated time from start to the retirement of the last instruction"),
    Statistic("cycles", "cycles", "the same in cycles of the core clock, rounded up"),
    Statistic("instructions", "instructions", "instructions retired, all cores, loop bodies counted each time"),
    Statistic("opcodes.<mnemonic>.count", "instructions", "how often the instruction retired, all cores"),
    Statistic("opcodes.<mnemonic>.busy_cycles", "cycles", "cycles for which it kept its unit busy, all cores"),
    Statistic("units.<path>.busy_cycles", "cycles", "cycles in which the unit worked"),
    Statistic("units.<path>.idle_cycles", "cycles", "cycles in which the unit had nothing to do"),
    Statistic("units.<path>.stall_cycles.operand", "cycles", "waited for a register or SRAM range still being made"),
    Statistic("units.<path>.stall_cycles.queue_full", "cycles", "waited for room in another unit's queue"),
    Statistic("units.<path>.stall_cycles.sram_port", "cycles", "waited for a free SRAM port"),
    Statistic("units.<path>.stall_cycles.dma", "cycles", "waited for a DMA engine or a transfer's fixed costs"),
    Statistic("units.<path>.stall_cycles.hbm", "cycles", "waited for data because HBM was the slowest part"),
    Statistic("units.<path>.stall_cycles.noc", "cycles", "waited for data because the network was the slowest part"),
    Statistic("units.<path>.stall_cycles.fetch", "cycles", "waited for instructions"),
    Statistic(
        "units.<path>.stall_cycles.barrier",
        "cycles",
        "waited for other cores at a barrier; waits for what they send count as noc",
    ),
    Statistic("units.<path>.instructions", "instructions", "instructions the unit carried out"),
    Statistic("units.<path>.<counter>", "end of its name", "counter of this kind of unit only, such as bytes moved"),
    Statistic("hbm.read_bytes", "bytes", "read from HBM, all channels"),
    Statistic("hbm.write_bytes", "bytes", "written to HBM, all channels"),
    Statistic("hbm.bandwidth_bytes_per_s", "bytes/s", "read and written bytes over the run's time, rounded down"),
    Statistic("hbm.peak_bytes_per_s", "bytes/s", "bandwidth of all channels together"),
    Statistic("hbm.row_hits", "accesses", "accesses to an open row; null: this memory model has no rows"),
    Statistic("hbm.row_misses", "accesses", "accesses to a bank without an open row; null: no rows modelled"),
    Statistic("hbm.row_conflicts", "accesses", "accesses that closed another row first; null: no rows modelled"),
    Statistic("hbm.refreshes", "refreshes", "refresh commands, all channels; null: refresh is not modelled"),
    Statistic("hbm.<counter>", "end of its name", "counter of this memory model only"),
    Statistic("noc.bytes", "bytes", "bytes that entered the network"),
    Statistic("noc.hop_bytes", "bytes x hops", "bytes times the links they crossed"),
    Statistic("noc.links[].source", "-", "node at which the link starts"),
    Statistic("noc.links[].target", "-", "node at which it ends"),
    Statistic("noc.links[].bytes", "bytes", "bytes that crossed the link"),
    Statistic("noc.links[].busy_ps", "ps", "time for which the link was taken"),
    Statistic("phases[].name", "-", "the phase, from the program's table, added up over all its occurrences"),
    Statistic("phases[].step", "-", "kind of forward it belongs to: warm, refine, full, prefill, decode"),
    Statistic("phases[].operator", "-", "what it does: attention, ffn, sampling, ..."),
    Statistic("phases[].count", "occurrences", "how often it ran"),
    Statistic("phases[].time_ps", "ps", "from the last retirement of the phase before to its own; adds up to time_ps"),
    Statistic("phases[].instructions", "instructions", "instructions retired in it"),
    Statistic("phases[].tensor_cycles", "cycles", "cycles for which its instructions kept tensor cores busy"),
    Statistic("phases[].vector_cycles", "cycles", "cycles for which its instructions kept vector units busy"),
    Statistic("phases[].hbm_read_bytes", "bytes", "read from HBM by it"),
    Statistic("phases[].hbm_write_bytes", "bytes", "written to HBM by it"),
    Statistic("phases[].noc_bytes", "bytes", "put on the network by it"),
    Statistic("steps[].step", "-", "kind of forward"),
    Statistic("steps[].forwards", "forwards", "how many of this kind ran"),
    Statistic("steps[].time_ps", "ps", "time of all of them"),
    Statistic("steps[].committed", "tokens", "tokens they committed"),
    *_bounds("steps[].", "of all forwards of this kind"),
    *_bounds("", "of the run"),
    Statistic("tokens_per_s", "tokens/s", "committed tokens over the run's time, six digits after the point"),
    Statistic("committed_tokens", "tokens", "tokens committed, all sequences"),
    Statistic("forwards", "forwards", "forwards that ran"),
    Statistic("notes[]", "-", "what the reader of these figures should know"),
)


def key_paths(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Path of every leaf of a JSON value; a list adds "[]" to the key that holds it."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from key_paths(item, (*path, key))
    elif isinstance(value, list) and value:
        for item in value:
            yield from key_paths(item, (*path[:-1], f"{path[-1]}[]"))
    else:
        yield path


def explain(path: tuple[str, ...]) -> Statistic | None:
    """The first row that explains the key at `path`, or None."""
    return next((row for row in STATISTICS if row.matches(path)), None)


def page() -> str:
    """The dictionary as Markdown, the whole of docs/stats.md."""
    rows = [f"| `{row.key}` | {row.unit} | {row.meaning} |" for row in STATISTICS]
    return "\n".join([_INTRODUCTION, "| key | unit | meaning |", "|---|---|---|", *rows, ""])


_INTRODUCTION = """\
# Statistics

Every key of the JSON report (`--json`) with its unit and meaning. The CSV tables (`--csv`) hold the
same figures with the unit in the column's name. In a key, `<...>` stands for any name, `[]` for each
entry of a list, and `*` for everything below. Figures of a unit add up: busy, idle and all stall
cycles of a unit together are the run's cycles, exactly. `null` means that the figure is not modelled.

This page is generated: `python -m archsim.report.stats > docs/stats.md`.
"""

if __name__ == "__main__":
    sys.stdout.write(page())
