"""More of anything never makes a run slower by more than 1 %."""

from __future__ import annotations

from functools import cache
from typing import Any

import attrs
import pytest

from archsim import MachineParams, load_machine, simulate
from workloads.lowering.generation import lower
from workloads.lowering.plan.machine_view import view_of
from workloads.models import load_model
from workloads.schedules import build_schedule

ALLOWED = 1.01
PRESETS = ("dart-512", "dart-2048", "quad-mesh")
DOUBLED = (
    "noc.link_bytes_per_cycle",
    "noc.core_port_bytes_per_cycle",
    "noc.memory_port_bytes_per_cycle",
    "memory.channels",
    "dma.engines",
    "dma.in_flight",
    "tensor.units",
    "vector.units",
    "vector_sram.rows_per_cycle",
    "dispatch.dma_queue",
    "dispatch.tensor_queue",
    "dispatch.vector_queue",
)


def doubled(params: MachineParams, path: str) -> MachineParams:
    section, name = path.split(".")
    part: Any = getattr(params, section)
    return attrs.evolve(params, **{section: attrs.evolve(part, **{name: 2 * getattr(part, name)})})


def time_ps(params: MachineParams, vlen: int = 0, heads: int = 8) -> int:
    """Two forwards of LLaDA-8B with one layer, fewer heads and a small vocabulary, lowered for this machine.

    `vlen` sets the vocabulary; by default it is the machine's.
    """
    schedule = build_schedule("llada", cache="dual", prompt=16, gen=32, block=16, steps=4)
    model = load_model("llada-8b").shrunk(
        layers=1,
        vocab=8 * (vlen or params.core.vlen),
        heads=heads,
        kv_heads=heads,
        hidden=128 * heads,
        ffn=256 * heads,
    )
    return simulate(lower(model, schedule, view_of(params)), params).time_ps


@cache
def before(preset: str) -> int:
    return time_ps(load_machine(preset))


@pytest.mark.parametrize("path", DOUBLED)
@pytest.mark.parametrize("preset", PRESETS)
def test_twice_as_much_is_not_slower(preset: str, path: str) -> None:
    assert time_ps(doubled(load_machine(preset), path)) <= ALLOWED * before(preset)


@pytest.mark.parametrize(
    "preset", ["dart-2048", *(pytest.param(name, marks=pytest.mark.slow) for name in PRESETS if name != "dart-2048")]
)
def test_twice_the_lanes_are_not_slower(preset: str) -> None:
    """Vectors and arrays, which have one width. The model fills them: what is smaller is padded, and so longer."""
    params = load_machine(preset)
    vlen = params.core.vlen
    wide = attrs.evolve(params, core=attrs.evolve(params.core, vlen=2 * vlen, mlen=2 * vlen))
    assert time_ps(wide, vlen, heads=32) <= ALLOWED * time_ps(params, vlen, heads=32)
