"""Contention on `quad-mesh`: what the most loaded link predicts is what a change of the network does to the time."""

from __future__ import annotations

from functools import cache
from typing import Any

import attrs
import pytest

from archsim import MachineParams, Program, RunResult, load_machine, simulate
from archsim.report.text import render
from workloads.lowering.generation import lower
from workloads.lowering.plan.machine_view import view_of
from workloads.models import load_model
from workloads.schedules import build_schedule

RIM = (0, 1, 2, 3, 4, 7, 8, 11, 12, 13, 14, 15)
CHANGES: dict[str, dict[str, Any]] = {
    "half the link width": {"link_bytes_per_cycle": 64},
    "HBM on one edge": {"memory_placement": "spread", "memory_nodes": (0, 4, 8, 12)},
    "ring": {"topology": "ring", "rows": 1, "cols": 16, "memory_placement": "spread", "memory_nodes": RIM},
}


def changed(**noc: Any) -> MachineParams:
    base = load_machine("quad-mesh")
    return attrs.evolve(base, noc=attrs.evolve(base.noc, **noc))


@cache
def llada() -> Program:
    """One forward of LLaDA-8B with one layer and a small vocabulary."""
    schedule = build_schedule("llada", cache="none", prompt=32, gen=32, block=32, steps=1)
    return lower(load_model("llada-8b").shrunk(layers=1, vocab=8192), schedule, view_of(changed()))


@cache
def run(change: str = "") -> RunResult:
    return simulate(llada(), changed(**CHANGES.get(change, {})))


def most_loaded(result: RunResult) -> int:
    """ps that the link with the most bytes for its width needs."""
    return max(link.busy_ps for link in result.links)


@pytest.mark.parametrize("change", CHANGES)
def test_the_time_changes_as_the_link_bound_predicts(change: str) -> None:
    predicted = most_loaded(run(change)) / most_loaded(run())
    measured = run(change).time_ps / run().time_ps
    assert predicted > 1.3
    assert measured == pytest.approx(predicted, rel=0.1)


def test_the_report_names_the_hottest_links() -> None:
    """The two links into the cores' columns from the row with most of the HBM behind it."""
    hottest = sorted(run().links, key=lambda link: -link.busy_ps)[:2]
    assert {(link.source, link.target) for link in hottest} == {("noc.r1", "noc.r5"), ("noc.r2", "noc.r6")}
    lines = render(run()).splitlines()
    (first,) = [index for index, line in enumerate(lines) if "hottest link noc.r1 -> noc.r5, " in line]
    assert lines[first + 1].startswith("         next noc.r2 -> noc.r6, ")
