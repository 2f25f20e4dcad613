"""The network that whole runs use beside the flit-level one, on the transfers of a LLaDA step.

The program is four denoising forwards of LLaDA-8B with one layer. What is compared is the time from the first
transfer's start to the last one's end, each transfer starting as long after the one that released it as in the run.
The mean time of a transfer is only shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from archsim import MachineParams, load_machine
from archsim.isa.program import Program
from archsim.micro.noc_bulk import UNHINDERED, BulkComparison, compare
from archsim.micro.noc_record import Transfer, record
from archsim.micro.validation import Row
from workloads.lowering.generation import lower
from workloads.lowering.plan.machine_view import view_of
from workloads.models import load_model
from workloads.schedules import build_schedule

TOLERANCE = 0.05

RIM = (0, 1, 2, 3, 4, 7, 8, 11, 12, 13, 14, 15)
VARIANTS: dict[str, dict[str, Any]] = {
    "64 B links": {"link_bytes_per_cycle": 64, "queued_percent": 63},
    "HBM on an edge": {"memory_placement": "spread", "memory_nodes": (0, 4, 8, 12), "queued_percent": 99},
    "torus": {"topology": "torus", "queued_percent": 68},
    "ring": {
        "topology": "ring",
        "rows": 1,
        "cols": 16,
        "memory_placement": "spread",
        "memory_nodes": RIM,
        "queued_percent": 83,
    },
}
"""Networks of `quad-mesh` changed, each with what `archsim micro noc --reads` finds for it."""

QUICK: dict[str, tuple[range, ...]] = {
    "dart-2048": (range(1000, 1040),),
    "quad-mesh": (range(3000, 3060),),
}
FULL: dict[str, tuple[range, ...]] = {
    "dart-512": (range(1000, 1300), range(6000, 6300)),
    "dart-2048": (range(300), range(1000, 1300), range(3000, 3300), range(5000, 5300)),
    "quad-mesh": (
        range(800),
        *(range(start, start + 400) for start in (3000, 4600, 6000, 8200, 10000, 11400, 12100)),
    ),
    **{name: (range(200), range(3000, 3200), range(6000, 6200), range(9000, 9200)) for name in VARIANTS},
}
"""Transfers of the run that are played, by machine."""


CAUSES = {
    "dart-2048": "packets of four flits wait for lanes of the core's port",
    "64 B links": "cores not in step yet",
    "HBM on an edge": "heads wait for one of 4 virtual channels",
    "torus": "flit by flit the window varies by 5 %",
}
"""Why windows of a machine may miss the tolerance; docs/fidelity.md has the measurements."""

WITHOUT_HINDRANCE: dict[str, range] = {
    "dart-2048": range(300),
    "quad-mesh": range(3000, 3200),
    "64 B links": range(200),
    "HBM on an edge": range(3000, 3200),
    "torus": range(3000, 3200),
    "ring": range(3000, 3200),
}
"""Windows that a flit-level network also plays that serves the oldest packet first and never fills its buffers, against
the bulk network with links that always carry their width: an error there has another cause than these two."""


def machine(name: str) -> MachineParams:
    """A preset, or one of `VARIANTS`."""
    if name not in VARIANTS:
        return load_machine(name)
    base = load_machine("quad-mesh")
    return attrs.evolve(base, noc=attrs.evolve(base.noc, **VARIANTS[name]))


def step(params: MachineParams) -> Program:
    """Four forwards of LLaDA-8B with one layer, lowered for a machine."""
    schedule = build_schedule("llada", cache="dual", prompt=64, gen=64, block=32, steps=4)
    return lower(load_model("llada-8b").shrunk(layers=1), schedule, view_of(params))


def rows(full: bool) -> Iterator[Row]:
    """The rows of every machine and window, or of `QUICK` only."""
    for name, windows in (FULL if full else QUICK).items():
        params = machine(name)
        recorded = record(step(params), params)
        for window, found in zip(windows, compare(recorded, params, windows), strict=True):
            yield from _rows(_where(name, window), found, CAUSES.get(name, "cause not known"))
        if full and name in WITHOUT_HINDRANCE:
            yield unhindered(name, recorded, WITHOUT_HINDRANCE[name])


def unhindered(name: str, recorded: Sequence[Transfer], window: range) -> Row:
    """A window on links at 100 %, ours in bulk, theirs without back-pressure and without round robin."""
    params = machine(name)
    full_width = attrs.evolve(params, noc=attrs.evolve(params.noc, queued_percent=100))
    (found,) = compare(recorded, full_width, [window], UNHINDERED)
    return Row(
        unit="noc",
        what=f"{_where(name, window)}, unhindered, us",
        theirs=found.packet_span_ps / 1e6,
        ours=found.bulk_span_ps / 1e6,
        note="flit-level, oldest first, no full buffers; ours at 100 %",
    )


def _where(name: str, window: range) -> str:
    return f"{name}, transfers {window.start}-{window.stop - 1}"


def _rows(where: str, found: BulkComparison, cause: str) -> Iterator[Row]:
    """Ours is the bulk network, theirs the flit-level one; a miss has its cause beside it."""
    row = Row(
        unit="noc",
        what=f"{where}, all done, us",
        theirs=found.packet_span_ps / 1e6,
        ours=found.bulk_span_ps / 1e6,
        tolerance=TOLERANCE,
        note="flit-level",
    )
    yield row if row.ok else attrs.evolve(row, note=f"{row.note}; {cause}")
    yield Row(
        unit="noc",
        what=f"{where}, mean transfer, us",
        theirs=found.packet_mean_ps / 1e6,
        ours=found.bulk_mean_ps / 1e6,
        note="flit-level",
    )
