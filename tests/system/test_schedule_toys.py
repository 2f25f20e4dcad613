"""Every schedule of which a program can be made runs end to end on edge-256, in its small configuration."""

from __future__ import annotations

import time
from functools import cache

import pytest

from archsim.elaborate import build
from archsim.machine import MachineParams, load_machine
from archsim.report.text import render
from archsim.run import collect
from tests.workloads.schedule_toys import toy
from workloads.evidence import ABSTRACT_ONLY
from workloads.forwards import Window, evidence_notes
from workloads.lowering.generation import lower
from workloads.lowering.plan.machine_view import view_of
from workloads.models import load_model
from workloads.schedules import SCHEDULES
from workloads.shape import ModelShape

LOWERABLE = [name for name, schedule in SCHEDULES.items() if schedule.unlowerable is None]
LARGEST = 50_000
"""Instructions executed by a toy at most."""
SLOWEST = 2.0
"""Seconds of processor time of a toy at most, lowering and simulation."""


@cache
def machine() -> MachineParams:
    return load_machine("edge-256")


def model() -> ModelShape:
    """LLaDA with two narrow layers and a small vocabulary."""
    core = machine().core
    return load_model("llada-8b").shrunk(
        layers=2, vocab=8 * core.vlen, heads=8, kv_heads=8, head_dim=core.hlen, hidden=256, ffn=512
    )


@pytest.mark.parametrize("name", LOWERABLE)
def test_runs_end_to_end(name: str) -> None:
    start = time.process_time()
    schedule = toy(name)
    program = lower(model(), schedule, view_of(machine()))
    elaborated = build(program, machine())
    elaborated.sim.run()
    result = collect(elaborated)
    assert result.complete
    assert time.process_time() - start <= SLOWEST
    assert result.instructions <= LARGEST
    assert result.forwards == sum(1 for _ in schedule.forwards())
    assert result.committed_tokens == schedule.describe()["tokens"]
    assert result.time_ps >= result.bounds["program"].hbm_ps
    assert result.time_ps >= result.bounds["program"].compute_ps
    assert sum(phase.time_ps for phase in result.phases) == result.time_ps
    notes = evidence_notes(schedule)
    assert bool(notes) == (schedule.evidence == ABSTRACT_ONLY) == ("evidence" in result.schedule)
    assert all(f"note: {note}" in render(result) for note in notes)


@pytest.mark.parametrize("name", LOWERABLE)
def test_a_window_runs_from_any_forward(name: str) -> None:
    """Also one that begins in the middle of a draft, or behind what an earlier forward left on chip."""
    schedule = toy(name)
    count = sum(1 for _ in schedule.forwards())
    elaborated = build(lower(model(), schedule, view_of(machine()), window=Window(1, min(3, count))), machine())
    elaborated.sim.run()
    assert collect(elaborated).forwards == min(3, count) - 1
