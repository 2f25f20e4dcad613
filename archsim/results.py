"""Frozen records that leave a run. Plain integers with their unit in the name; no clock, no files."""

from __future__ import annotations

from typing import Any

import attrs

FORMAT_VERSION = 1

STALL_CAUSES = ("operand", "queue_full", "sram_port", "dma", "hbm", "noc", "fetch", "barrier")
"""The closed list of reasons why a unit that has work does not do it."""


@attrs.frozen(kw_only=True)
class UnitRecord:
    """One unit's account: busy + idle + sum of stalls = the run's cycles, exactly."""

    busy_cycles: int
    idle_cycles: int
    stall_cycles: dict[str, int]
    instructions: int
    extra: dict[str, int] = attrs.field(factory=dict)
    """Counters of this kind of unit only, e.g. bytes moved; name ends in the unit of measure."""


@attrs.frozen(kw_only=True)
class PhaseRecord:
    """Everything booked to one phase marker of the program, over all its occurrences.

    `time_ps` runs from the retirement of the previous phase's last instruction to its own, so the
    phases of a run add up to its time. `step` is the kind of forward it belongs to ("warm",
    "refine", ...), `operator` what it does ("attention", "ffn", "sampling", ...).
    """

    name: str
    step: str
    operator: str
    count: int
    time_ps: int
    instructions: int
    tensor_cycles: int
    vector_cycles: int
    hbm_read_bytes: int
    hbm_write_bytes: int
    noc_bytes: int


@attrs.frozen(kw_only=True)
class StepRecord:
    """All forwards of one kind: how many, how long, what bounds them (bounds are of their sum)."""

    step: str
    forwards: int
    time_ps: int
    committed: int
    bounds: dict[str, Bounds]


@attrs.frozen(kw_only=True)
class Bounds:
    """Analytic lower bounds of the run time by resource, in ps."""

    compute_ps: int
    vector_ps: int
    hbm_ps: int
    noc_ps: int
    issue_ps: int

    @property
    def largest(self) -> tuple[str, int]:
        """Name ("compute", "hbm", ...) and value of the largest bound."""
        values = {name.removesuffix("_ps"): value for name, value in attrs.asdict(self).items()}
        name = max(values, key=lambda key: values[key])
        return name, values[name]


@attrs.frozen(kw_only=True)
class LinkRecord:
    """Traffic of one network link."""

    source: str
    target: str
    bytes: int
    busy_ps: int


@attrs.frozen(kw_only=True)
class LoopRecord:
    """Iterations of all loops at one nesting level (1: outermost) that replay watched, and how many it skipped.

    `nearly` of those skipped repeat one whose time differed by at most 0.067 % from the time of the one before.
    """

    level: int
    iterations: int
    replayed: int
    nearly: int = 0


@attrs.frozen(kw_only=True)
class RunResult:
    """Everything a run tells. Equal inputs give equal records, byte for byte once written."""

    complete: bool
    machine: dict[str, Any]
    program: dict[str, Any]
    schedule: dict[str, Any]
    issue: str
    time_ps: int
    cycles: int
    instructions: int
    opcodes: dict[str, dict[str, int]]
    units: dict[str, UnitRecord]
    hbm: dict[str, int]
    hbm_peak_bytes_per_s: int
    noc_bytes: int
    noc_hop_bytes: int
    links: tuple[LinkRecord, ...]
    phases: tuple[PhaseRecord, ...]
    steps: tuple[StepRecord, ...]
    bounds: dict[str, Bounds]
    committed_tokens: int
    forwards: int
    notes: tuple[str, ...] = ()
    replayed_ps: int = 0
    """Part of `time_ps` that replay skipped; no part of the JSON, which is the same either way."""
    loops: tuple[LoopRecord, ...] = ()
    """What replay skipped by loop level; no part of the JSON either."""
