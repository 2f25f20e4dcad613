"""Every model of the zoo, shrunken, runs on a small machine: its parts take the time that its shape says."""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

import pytest

import archsim
from workloads.forwards import Window
from workloads.lowering.generation import lower
from workloads.lowering.plan.machine_view import view_of
from workloads.models import load_model, model_names
from workloads.schedules import build_schedule
from workloads.shape import ModelShape

EDGE = archsim.load_machine("edge-256")


@cache
def shrunken(name: str) -> ModelShape:
    """Two layers and four heads of the model, three layers where the first has no experts."""
    model = load_model(name)
    layers = 2 if not model.dense_layers or model.experts is None else 3
    groups = min(4, model.heads // model.kv_heads)
    return model.shrunk(
        layers=layers, hidden=256, heads=4, kv_heads=4 // groups, head_dim=min(128, model.head_dim), ffn=512,
        vocab=512, experts=16 if model.experts is not None else None, expert_ffn=128,
    )


@cache
def result(name: str) -> Any:
    model = shrunken(name)
    if model.kind == "ar":
        schedule, window = build_schedule("autoregressive", prompt=32, gen=8), Window(0, 2)
    else:
        schedule, window = build_schedule("llada", prompt=32, gen=32, block=32, cache="dual"), Window(0, 2)
    program = lower(model, schedule, view_of(EDGE), window=window)
    return program, archsim.simulate(program, EDGE)


@pytest.mark.parametrize("name", model_names())
def test_it_runs_within_its_bounds(name: str) -> None:
    program, run = result(name)
    assert run.instructions < 50_000
    ideal = program.header.ideal["total"]
    assert run.cycles >= max(ideal["tensor_cycles"], ideal["vector_cycles"])
    assert ideal["hbm_bytes"] > 0
    for path, unit in run.units.items():
        assert unit.busy_cycles + unit.idle_cycles + sum(unit.stall_cycles.values()) == run.cycles, path
    assert sum(phase.time_ps for phase in run.phases) == run.time_ps
    for kind, resource in itertools.product(("program", "ideal"), ("compute", "vector", "hbm")):
        assert run.time_ps >= getattr(run.bounds[kind], f"{resource}_ps") > 0
    for resource in ("compute", "hbm"):
        lowest, own = (getattr(run.bounds[kind], f"{resource}_ps") for kind in ("ideal", "program"))
        assert lowest <= own, resource


@pytest.mark.parametrize("name", model_names())
def test_its_operators_are_those_of_its_shape(name: str) -> None:
    program, _ = result(name)
    model, found = shrunken(name), {phase.operator for phase in program.header.phases}
    assert ("qk_norm" in found) == model.qk_norm
    assert ({"router", "experts"} <= found) == (model.experts is not None)
    assert ("shared_experts" in found) == (model.experts is not None and model.experts.shared_ffn > 0)
    assert ("ffn" in found) == (model.dense_layers > 0)
    regions = {region["name"] for region in program.header.regions}
    assert ("embedding.0" in regions) != model.tied
    assert ("biases" in regions) == (model.qkv_bias or model.qk_norm)
