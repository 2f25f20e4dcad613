"""More of anything never makes a run slower by more than 1 %."""

from __future__ import annotations

from functools import cache
from typing import Any

import attrs
import pytest

from archsim import MachineParams, RunResult, load_machine, simulate
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


def with_lanes(vlen: int, hidden: int, ffn: int) -> RunResult:
    """Two forwards of a small model of 8 heads on `quad-mesh` with that many lanes."""
    base = load_machine("quad-mesh")
    params = attrs.evolve(base, core=attrs.evolve(base.core, vlen=vlen, mlen=vlen))
    schedule = build_schedule("llada", cache="dual", prompt=16, gen=32, block=16, steps=4)
    shape: dict[str, Any] = {"layers": 1, "vocab": 8192, "heads": 8, "kv_heads": 8, "hidden": hidden, "ffn": ffn}
    return simulate(lower(load_model("llada-8b").shrunk(**shape), schedule, view_of(params)), params)


def exchanged(result: RunResult) -> int:
    return sum(phase.noc_bytes for phase in result.phases if phase.operator == "allreduce")


def test_lanes_beyond_a_models_rows_carry_padding() -> None:
    """Rows of 1024 elements fill 1024 lanes. In 2048 they are exchanged and fetched whole; nothing else grows."""
    half, full, padded = (with_lanes(vlen, hidden=1024, ffn=2048) for vlen in (512, 1024, 2048))
    assert full.time_ps <= ALLOWED * half.time_ps
    assert exchanged(half) == exchanged(full)
    assert exchanged(padded) == 2 * exchanged(full)
    fetched = padded.hbm["read_bytes"] - full.hbm["read_bytes"]
    assert padded.noc_bytes - full.noc_bytes == exchanged(full) + fetched
    assert ALLOWED * full.time_ps < padded.time_ps < 1.06 * full.time_ps


def test_rows_that_fill_the_lanes_are_not_slower() -> None:
    assert with_lanes(2048, hidden=2048, ffn=1024).time_ps <= ALLOWED * with_lanes(1024, hidden=2048, ffn=1024).time_ps
