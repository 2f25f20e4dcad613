"""The network that whole runs use beside the flit-level one, on the transfers of a LLaDA step.

The program is four denoising forwards of LLaDA-8B with one layer. What is compared is the time from the first
transfer's start to the last one's end, each transfer starting when it did in the run. The mean time of a transfer
is only shown: behind a full link it is queueing, which follows every difference in rate.
"""

from __future__ import annotations

from collections.abc import Iterator

from archsim import MachineParams, load_machine
from archsim.isa.program import Program
from archsim.micro.noc_bulk import BulkComparison, compare
from archsim.micro.validation import Row
from workloads.lowering.generation import lower
from workloads.lowering.machine_view import view_of
from workloads.models import load_model
from workloads.schedules import build_schedule

TOLERANCE = 0.05

QUICK: dict[str, tuple[range, ...]] = {
    "dart-2048": (range(1000, 1040),),
    "quad-mesh": (range(3000, 3060),),
}
FULL: dict[str, tuple[range, ...]] = {
    "dart-2048": (range(300), range(1000, 1300), range(5000, 5300)),
    "quad-mesh": (range(200), range(3000, 3200), range(6000, 6200), range(14000, 14200)),
}
"""Transfers of the run that are played, by machine."""

MISSES = {
    ("quad-mesh", 0): "flit-level; as if full links carried 72 %, noc.queued_percent says 66",
}
"""Why a window, by machine and first transfer, is not met."""


def step(params: MachineParams) -> Program:
    """Four forwards of LLaDA-8B with one layer, lowered for a machine."""
    schedule = build_schedule("llada", cache="dual", prompt=64, gen=64, block=32, steps=4)
    return lower(load_model("llada-8b").shrunk(layers=1), schedule, view_of(params))


def rows(full: bool) -> Iterator[Row]:
    """The rows of every machine and window, or of `QUICK` only."""
    for name, windows in (FULL if full else QUICK).items():
        params = load_machine(name)
        for window, found in zip(windows, compare(step(params), params, windows), strict=True):
            note = MISSES.get((name, window.start), "flit-level")
            yield from _rows(f"{name}, transfers {window.start}-{window.stop - 1}", found, note)


def _rows(where: str, found: BulkComparison, note: str) -> Iterator[Row]:
    """Ours is the bulk network, theirs the flit-level one."""
    yield Row(
        unit="noc",
        what=f"{where}, all done, us",
        theirs=found.packet_span_ps / 1e6,
        ours=found.bulk_span_ps / 1e6,
        tolerance=TOLERANCE,
        note=note,
    )
    yield Row(
        unit="noc",
        what=f"{where}, mean transfer, us",
        theirs=found.packet_mean_ps / 1e6,
        ours=found.bulk_mean_ps / 1e6,
        note="flit-level",
    )
