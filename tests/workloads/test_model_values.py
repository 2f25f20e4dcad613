"""Programs of models with every feature compute what a plain numpy model computes."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

import archsim
from archsim.isa.program import Program
from tests.workloads.plain_model import Plain, random_weights
from workloads.lowering.generation import lower_with_layout
from workloads.lowering.image import image
from workloads.lowering.layout import Layout
from workloads.lowering.machine_view import view_of
from workloads.models import load_model
from workloads.schedules import build_schedule
from workloads.shape import ModelShape
from workloads.tiny.program import FLOAT_OPTIONS, tokens_of
from workloads.tiny.reference import generate

TINY = archsim.load_machine("tiny")
PROMPT, GEN, BLOCK, STEPS, BATCH = 12, 8, 4, 4, 2
BASE = load_model("llada-8b").shrunk(
    layers=2, hidden=64, heads=4, kv_heads=2, head_dim=32, ffn=96, vocab=64, name="toy"
)
MODELS = {
    "grouped": BASE,
    "qk_norm": attrs.evolve(BASE, qk_norm=True),
    "partial_rotary": attrs.evolve(BASE, rotary_dim=16),
    "narrow_heads": attrs.evolve(BASE, head_dim=16, heads=4, kv_heads=4),
    "narrow_qk_norm": attrs.evolve(BASE, head_dim=16, rotary_dim=8, qk_norm=True),
    "layer_norm": attrs.evolve(BASE, norm="layer"),
    "gelu": attrs.evolve(BASE, mlp="gelu", norm="layer"),
    "tied": attrs.evolve(BASE, tied=True),
    "biases": attrs.evolve(BASE, qkv_bias=True),
    "narrow_biases": attrs.evolve(BASE, qkv_bias=True, head_dim=16, rotary_dim=8, qk_norm=True),
    "input_only": attrs.evolve(BASE, input_only=1, mask_id=64),
    "several_blocks": attrs.evolve(BASE, hidden=320, heads=10, kv_heads=2, qk_norm=True),
}


def made(shape: ModelShape, cache: str) -> tuple[Program, Layout]:
    schedule = build_schedule(
        "llada", prompt=PROMPT, gen=GEN, block=BLOCK, steps=STEPS, cache=cache, batch=BATCH
    )
    return lower_with_layout(shape, schedule, view_of(TINY), FLOAT_OPTIONS)


def prompts(shape: ModelShape) -> np.ndarray:
    return np.random.default_rng(5).integers(0, shape.vocab - 1, (BATCH, PROMPT))


def canvases(shape: ModelShape) -> np.ndarray:
    masks = np.full((BATCH, GEN), shape.mask_id)
    return np.concatenate([prompts(shape), masks], axis=1)


def wanted(model: Plain, cache: str) -> tuple[np.ndarray, np.ndarray]:
    """Canvases, and the logits of the last forward (sequences, block, vocab)."""
    canvas, choices = generate(
        model, prompts(model.shape), gen=GEN, block=BLOCK, steps=STEPS, cache=cache, mask=model.shape.mask_id
    )
    return canvas, choices[-1].logits


def spilled(dump: dict[str, np.ndarray], layout: Layout) -> np.ndarray:
    """The logits of the last forward: [sequence][chunk][row][lane] in HBM."""
    rows = dump["logits"].view(np.float32)[: BATCH * BLOCK * TINY.core.vlen]
    return rows.reshape(BATCH, BLOCK, -1)[:, :, : layout.dims.model.vocab]


@pytest.mark.parametrize("cache", ["none", "dual"])
@pytest.mark.parametrize("name", MODELS)
def test_tokens_are_those_of_the_plain_model(name: str, cache: str) -> None:
    shape = MODELS[name]
    weights = random_weights(shape, 3)
    program, layout = made(shape, cache)
    state = archsim.new_state(program, TINY, "fp32")
    archsim.load_tensors(state, image(layout, weights, canvases(shape)))
    archsim.execute(state)
    canvas, logits = wanted(Plain(shape, weights), cache)
    assert tokens_of(state.cores[0].ints, layout).tolist() == canvas.tolist()
    np.testing.assert_allclose(spilled(archsim.dump_tensors(state), layout), logits, atol=2e-3)
    assert not (canvas == shape.mask_id).any()


def test_each_feature_changes_the_logits() -> None:
    """The comparison above would notice a feature that is left out."""
    weights = {name: random_weights(shape, 3) for name, shape in MODELS.items()}
    for name, lost in {
        "qk_norm": BASE, "partial_rotary": BASE, "layer_norm": BASE, "gelu": attrs.evolve(MODELS["gelu"], norm="rms"),
    }.items():  # fmt: skip
        own = {key: value for key, value in weights[name].items() if "norm" not in key}
        found = [Plain(shape, w).forward(prompts(BASE), 0, slice(0, 4))
                 for shape, w in ((MODELS[name], weights[name]), (lost, own))]  # fmt: skip
        assert np.abs(found[0] - found[1]).max() > 0.05, name


def test_a_timed_run_leaves_the_same_memory() -> None:
    shape = MODELS["narrow_qk_norm"]
    program, layout = made(shape, "dual")
    dumps = []
    for timed in (False, True):
        state = archsim.new_state(program, TINY, "fp32")
        archsim.load_tensors(state, image(layout, random_weights(shape, 3), canvases(shape)))
        if timed:
            archsim.simulate(program, TINY, values=state)
        else:
            archsim.execute(state)
        dumps.append(archsim.dump_tensors(state))
    assert dumps[0].keys() == dumps[1].keys()
    assert all(np.array_equal(dumps[0][key], dumps[1][key], equal_nan=True) for key in dumps[0])
