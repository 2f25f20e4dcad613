"""The interpreter: every opcode has a function, and a lowered model runs to tokens."""

from __future__ import annotations

import numpy as np
import pytest

from archsim import MachineParams, dump_tensors, execute, load_machine, load_tensors, new_state
from archsim.isa.opcodes import OPCODES
from archsim.isa.semantics.step import function_of
from workloads.lowering.generation import lower
from workloads.lowering.plan.machine_view import view_of
from workloads.models import load_model
from workloads.schedules import build_schedule


@pytest.mark.parametrize("mnemonic", OPCODES)
def test_every_opcode_has_a_function(mnemonic: str) -> None:
    assert callable(function_of(mnemonic))


def random_image(regions, seed: int) -> dict[str, np.ndarray]:
    """Bytes for everything that a lowered program reads and does not write."""
    rng = np.random.default_rng(seed)
    out = {}
    for region in regions:
        name, size = region["name"], region["bytes"]
        if name.startswith(("kv_cache", "logits")):
            continue
        if name.endswith(".scales"):
            out[name] = rng.integers(120, 124, size).astype(np.uint8)
        elif name.startswith(("weights", "lm_head")):
            out[name] = rng.integers(0, 256, size).astype(np.uint8)
        else:
            reals = rng.standard_normal(size // 2).astype(np.float32)
            out[name] = (reals.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
    return out


def test_a_lowered_model_commits_tokens() -> None:
    params: MachineParams = load_machine("tiny")
    model = load_model("llada-8b").shrunk(
        layers=1, vocab=96, hidden=128, heads=4, kv_heads=4, head_dim=32, ffn=128
    )
    schedule = build_schedule("llada", cache="dual", prompt=16, gen=16, block=16, steps=4)
    program = lower(model, schedule, view_of(params))
    found = []
    for seed in (1, 1, 2):
        state = new_state(program, params)
        load_tensors(state, random_image(program.header.regions, seed))
        assert execute(state) > 1000
        found.append(dump_tensors(state)["core0.int_mem"])
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])
    assert not np.isnan(state.cores[0].f).any()
