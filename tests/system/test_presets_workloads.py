"""Every preset runs every kind of workload, and its accounts close."""

from __future__ import annotations

from functools import cache

import pytest

import archsim
from archsim.config import preset_names
from archsim.elaborate import build
from archsim.machine import MachineParams, load_machine
from archsim.run import collect
from workloads.lowering.generation import lower
from workloads.lowering.plan.machine_view import view_of
from workloads.models import load_model
from workloads.schedules import build_schedule
from workloads.shape import ModelShape

SCHEDULES = {
    "dual": ("llada", {"cache": "dual", "prompt": 24, "gen": 32, "block": 16, "steps": 4}),
    "prefix": ("llada", {"cache": "prefix", "prompt": 16, "gen": 32, "block": 16, "steps": 4}),
    "none": ("llada", {"cache": "none", "prompt": 16, "gen": 16, "block": 16, "steps": 2}),
    "batch": ("llada", {"cache": "dual", "prompt": 16, "gen": 16, "block": 16, "steps": 2, "batch": 3}),
    "autoregressive": ("autoregressive", {"prompt": 24, "gen": 3}),
}
MODELS = {
    "dual": "llada-8b",
    "prefix": "dream-7b",
    "none": "llada-8b",
    "batch": "llada-8b",
    "autoregressive": "qwen2.5-7b",
}


@cache
def machine(name: str) -> MachineParams:
    return load_machine(name)


def model_for(name: str, params: MachineParams) -> ModelShape:
    """The model with two layers, 8 to 28 heads and a small vocabulary, so that a run takes about a second."""
    model = load_model(name)
    vocab = 8 * params.core.vlen
    if params.core.hlen == model.head_dim:
        return model.shrunk(layers=2, vocab=vocab)
    heads = 8
    return model.shrunk(
        layers=2, vocab=vocab, heads=heads, kv_heads=heads, head_dim=params.core.hlen, hidden=256, ffn=512
    )


@pytest.mark.parametrize("kind", SCHEDULES)
@pytest.mark.parametrize("preset", preset_names())
def test_accounts_close(preset: str, kind: str) -> None:
    params = machine(preset)
    name, options = SCHEDULES[kind]
    schedule = build_schedule(name, **options)
    program = lower(model_for(MODELS[kind], params), schedule, view_of(params))
    elaborated = build(program, params)
    elaborated.sim.run()
    result = collect(elaborated)
    for path, unit in result.units.items():
        assert unit.busy_cycles + unit.idle_cycles + sum(unit.stall_cycles.values()) == result.cycles, path
    assert sum(phase.time_ps for phase in result.phases) == result.time_ps
    ports = [core.memory for core in elaborated.cores]
    asked = sum(phase.hbm_read_bytes + phase.hbm_write_bytes for phase in result.phases)
    fetched = sum(unit.extra.get("lines_fetched", 0) for unit in result.units.values()) * params.fetch.line
    served = result.hbm["read_bytes"] + result.hbm["write_bytes"]
    assert asked + fetched == served == sum(port.delivered_bytes for port in ports)
    for bound in ("compute", "vector", "hbm", "noc", "issue"):
        assert result.time_ps >= getattr(result.bounds["program"], f"{bound}_ps"), bound
    assert result.forwards == sum(1 for _ in schedule.forwards())
    # Of the first forward's work, some is done while setup still fetches weights, whose time it is then.
    setup = sum(phase.time_ps for phase in result.phases if phase.name == "setup.setup")
    assert all(step.time_ps + setup >= step.bounds["program"].compute_ps for step in result.steps)


def test_the_same_run_in_serial_order_takes_longer() -> None:
    params = machine("dart-2048")
    name, options = SCHEDULES["dual"]
    program = lower(model_for("llada-8b", params), build_schedule(name, **options), view_of(params))
    overlap, serial = (archsim.simulate(program, params, issue=issue) for issue in ("overlap", "serial"))
    assert serial.time_ps > 1.3 * overlap.time_ps
    assert serial.opcodes.keys() == overlap.opcodes.keys()
    assert all(serial.opcodes[name] == overlap.opcodes[name] for name in serial.opcodes)
