"""Programs of models with every feature compute what a plain numpy model computes."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import attrs
import numpy as np
import pytest

import archsim
from archsim.isa.program import Program
from tests.workloads.plain_model import Plain, random_weights
from workloads.experts import Experts
from workloads.lowering.generation import lower_with_layout
from workloads.lowering.image import image
from workloads.lowering.layout import Layout
from workloads.lowering.plan.machine_view import view_of
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
    "tied_in_two_vectors": attrs.evolve(BASE, tied=True, hidden=320, heads=2, ffn=64),
    "biases": attrs.evolve(BASE, qkv_bias=True),
    "narrow_biases": attrs.evolve(BASE, qkv_bias=True, head_dim=16, rotary_dim=8, qk_norm=True),
    "input_only": attrs.evolve(BASE, input_only=1, mask_id=64),
    "several_blocks": attrs.evolve(BASE, hidden=320, heads=10, kv_heads=2, qk_norm=True),
}


MIXTURE = Experts(count=16, top_k=4, ffn=32)
SIGMOID = {"scores": "sigmoid", "normalized": True, "scale": 2.5}
MIXTURES = {
    "softmax": attrs.evolve(BASE, experts=MIXTURE),
    "sigmoid": attrs.evolve(BASE, experts=attrs.evolve(MIXTURE, **SIGMOID)),
    "bias": attrs.evolve(BASE, experts=attrs.evolve(MIXTURE, bias=True, **SIGMOID), qk_norm=True),
    "groups": attrs.evolve(BASE, experts=attrs.evolve(MIXTURE, groups=4, top_groups=2, bias=True, **SIGMOID)),
    "shared": attrs.evolve(BASE, experts=attrs.evolve(MIXTURE, shared_ffn=48)),
    "first_dense": attrs.evolve(BASE, layers=3, experts=attrs.evolve(MIXTURE, first_dense=1, shared_ffn=32)),
    "several_blocks": attrs.evolve(
        BASE, layers=1, hidden=320, heads=4, experts=attrs.evolve(MIXTURE, count=6, ffn=288, top_k=2)
    ),
    "like_llada2": attrs.evolve(
        BASE, layers=3, qk_norm=True, rotary_dim=16,
        experts=attrs.evolve(MIXTURE, groups=8, top_groups=4, bias=True, first_dense=1, shared_ffn=32, **SIGMOID),
    ),
}  # fmt: skip


def made(shape: ModelShape, cache: str, routing: str | None = None, vectors: int = 0) -> tuple[Program, Layout]:
    schedule = build_schedule(
        "llada", prompt=PROMPT, gen=GEN, block=BLOCK, steps=STEPS, cache=cache, batch=BATCH
    )
    view = view_of(TINY)
    view = attrs.evolve(view, vector_vectors=vectors or view.vector_vectors)
    return lower_with_layout(shape, schedule, view, attrs.evolve(FLOAT_OPTIONS, routing=routing))


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


def record(model: Plain, path: Path) -> None:
    """Write down what experts the model has chosen."""
    layers = range(model.shape.dense_layers, model.shape.layers)
    lines = []
    for index, chosen in enumerate(model.routed):
        forward, layer = divmod(index, len(layers))
        experts = chosen.reshape(-1, chosen.shape[-1]).tolist()
        lines.append(json.dumps({"forward": forward, "layer": layers[layer], "experts": experts}))
    path.write_text("\n".join(lines), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "cache", "vectors"),
    [*itertools.product(MIXTURES, ["none", "dual"], [0]), ("like_llada2", "none", 300), ("groups", "none", 260)],
)
def test_mixtures_compute_what_the_plain_model_computes(name: str, cache: str, vectors: int, tmp_path: Path) -> None:
    """`vectors`: so few of Vector SRAM that rows go through the layers in tiles, or sequences one by one."""
    shape = MIXTURES[name]
    weights = random_weights(shape, 4)
    model = Plain(shape, weights)
    canvas, logits = wanted(model, cache)
    record(model, tmp_path / "routing.jsonl")
    program, layout = made(shape, cache, str(tmp_path / "routing.jsonl"), vectors)
    assert (program.header.schedule["restream"]["full" if cache == "none" else "warm"] > 1) == (vectors > 0)
    state = archsim.new_state(program, TINY, "fp32")
    archsim.load_tensors(state, image(layout, weights, canvases(shape)))
    archsim.execute(state)
    assert tokens_of(state.cores[0].ints, layout).tolist() == canvas.tolist()
    np.testing.assert_allclose(spilled(archsim.dump_tensors(state), layout), logits, atol=2e-3)


def test_experts_outside_the_list_are_not_computed(tmp_path: Path) -> None:
    shape, path = MIXTURES["softmax"], tmp_path / "routing.jsonl"
    model = Plain(shape, random_weights(shape, 4))
    logits = wanted(model, "none")[1]
    record(model, path)
    moved = [{**line, "experts": [[(e + 1) % 16 for e in row] for row in line["experts"]]}
             for line in map(json.loads, path.read_text(encoding="utf-8").splitlines())]  # fmt: skip
    path.write_text("\n".join(map(json.dumps, moved)), encoding="utf-8")
    program, layout = made(shape, "none", str(path))
    state = archsim.new_state(program, TINY, "fp32")
    archsim.load_tensors(state, image(layout, random_weights(shape, 4), canvases(shape)))
    archsim.execute(state)
    assert np.abs(spilled(archsim.dump_tensors(state), layout) - logits).max() > 0.1


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


@pytest.mark.parametrize("shape", [MODELS["narrow_qk_norm"], MIXTURES["like_llada2"]], ids=["dense", "mixture"])
def test_a_timed_run_leaves_the_same_memory(shape: ModelShape) -> None:
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
