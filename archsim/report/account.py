"""What the reports work out from a result: shares that add up, like units together, rates.

Integer arithmetic throughout; the only floats are the two rates that the reports print as such.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction

import attrs

from archsim.results import STALL_CAUSES, Bounds, PhaseRecord, RunResult, StepRecord
from archsim.units import PS_PER_SECOND

_CORE = re.compile(r"core\d*")
_INDEX = re.compile(r"\d+$")

GROUPS = ("transformer", "sampling", "kv", "other")
"""What an operator's time is for, as the text report sums it up."""

_GROUP_WORDS = {
    "sampling": {"sampling", "sample", "sampler", "topk", "argmax", "entropy", "remask", "unmask", "commit"},
    "kv": {"kv", "cache", "calibrate", "quantize", "baos"},
    "other": {"", "none", "start", "setup", "other", "barrier"},
}
_PROJECTION = {"proj", "projection"}


@attrs.frozen(kw_only=True)
class UnitKind:
    """All units of one kind added up: `count` of them, in unit-cycles."""

    name: str
    count: int
    instructions: int
    busy: int
    stalls: dict[str, int]
    idle: int

    @property
    def label(self) -> str:
        """ "vector", or "vector x4" where there are several."""
        return self.name if self.count == 1 else f"{self.name} x{self.count}"

    @property
    def parts(self) -> list[int]:
        """Busy, each stall cause in the order of STALL_CAUSES, idle."""
        return [self.busy, *(self.stalls[cause] for cause in STALL_CAUSES), self.idle]


def kind_of(path: str) -> str:
    """Kind of a unit from its path: "core3.dma1" and "core0.dma0" are both "dma"."""
    parts = [part for part in path.split(".") if not _CORE.fullmatch(part)]
    return ".".join(_INDEX.sub("", part) for part in parts) or path


def unit_kinds(result: RunResult) -> list[UnitKind]:
    """Units of the same kind added together, in the order in which the machine names them."""
    groups: dict[str, list[str]] = {}
    for path in result.units:
        groups.setdefault(kind_of(path), []).append(path)
    return [_add(result, name, paths) for name, paths in groups.items()]


def _add(result: RunResult, name: str, paths: Sequence[str]) -> UnitKind:
    units = [result.units[path] for path in paths]
    return UnitKind(
        name=name,
        count=len(units),
        instructions=sum(unit.instructions for unit in units),
        busy=sum(unit.busy_cycles for unit in units),
        stalls={cause: sum(unit.stall_cycles.get(cause, 0) for unit in units) for cause in STALL_CAUSES},
        idle=sum(unit.idle_cycles for unit in units),
    )


def tenths(parts: Sequence[int]) -> list[int]:
    """Shares of `parts` in tenths of a percent that add up to exactly 1000 (largest remainder).

    Ties go to the earlier part. All zeros give all zeros: there is nothing to share.
    """
    total = sum(parts)
    if total == 0:
        return [0] * len(parts)
    shares = [1000 * part // total for part in parts]
    left = 1000 - sum(shares)
    by_remainder = sorted(range(len(parts)), key=lambda index: (-(1000 * parts[index] % total), index))
    for index in by_remainder[:left]:
        shares[index] += 1
    return shares


def ratio_tenths(part: int, whole: int) -> int:
    """`part` of `whole` in tenths of a percent, half up; 0 where the whole is 0."""
    return (2000 * part + whole) // (2 * whole) if whole else 0


def per_second(amount: int, time_ps: int) -> int:
    """Whole units per second, rounded down; 0 for a run that took no time."""
    return amount * PS_PER_SECOND // time_ps if time_ps else 0


def tokens_per_second(result: RunResult) -> float:
    """Committed tokens per second of simulated time, rounded to six digits after the point."""
    if not result.time_ps:
        return 0.0
    return float(round(Fraction(result.committed_tokens * PS_PER_SECOND, result.time_ps), 6))


def group_of(operator: str) -> str:
    """Group of an operator's name ("kv_store", "sampling"): by its words; the rest is the transformer."""
    words = set(re.split(r"[^a-z0-9]+", operator.lower()))
    if words & _PROJECTION:
        return "transformer"
    return next((group for group, known in _GROUP_WORDS.items() if words & known), "transformer")


def group_times(phases: Iterable[PhaseRecord]) -> dict[str, int]:
    """Time of the phases by group, in ps, every group present."""
    times = dict.fromkeys(GROUPS, 0)
    for phase in phases:
        times[group_of(phase.operator)] += phase.time_ps
    return times


def refresh_extra_ps(steps: Iterable[StepRecord]) -> int | None:
    """What refreshing the cache costs: time of the warm steps beyond as many refine steps, in ps.

    None where the run has not both kinds, so that nothing can be compared.
    """
    kinds = {step.step: step for step in steps if step.forwards}
    if "warm" not in kinds or "refine" not in kinds:
        return None
    warm, refine = kinds["warm"], kinds["refine"]
    return max(0, warm.time_ps - warm.forwards * refine.time_ps // refine.forwards)


def largest(bounds: dict[str, Bounds], kind: str) -> tuple[str, int] | None:
    """Name and ps of the largest bound of a kind ("ideal", "program"); None where there is none."""
    if kind not in bounds:
        return None
    name, value = bounds[kind].largest
    return (name, value) if value else None
