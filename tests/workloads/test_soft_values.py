"""Mixtures of embeddings that programs make, by value."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

import archsim
from tests.workloads.plain_model import random_weights
from workloads.forwards import Forward, Schedule, Window
from workloads.lowering.generation import lower_with_layout
from workloads.lowering.image import image
from workloads.lowering.layout import Layout
from workloads.lowering.plan.machine_view import MachineView, view_of
from workloads.models import load_model
from workloads.schedules import build_schedule
from workloads.tiny.program import FLOAT_OPTIONS

TINY = archsim.load_machine("tiny")
VLEN = TINY.core.vlen
TOY = load_model("llada-8b").shrunk(layers=1, hidden=64, heads=4, kv_heads=2, head_dim=32, ffn=96, vocab=600)
LARGE = attrs.evolve(TOY, vocab=3000, mask_id=2999)
WIDE = attrs.evolve(TOY, hidden=320, heads=10, kv_heads=2)
SMOOTHING = {"prompt": 6, "gen": 16, "block": 8, "prefix_look": 2, "after_look": 2, "counts": "2 3 3 1 4 3"}
MAXIMAL = {"prompt": 8, "gen": 16, "block": 8, "counts": "0 2 3 3 1 4 3"}
CASES = {
    "all": (TOY, "iteration-smoothing", SMOOTHING, {}),
    "all_wide": (WIDE, "iteration-smoothing", SMOOTHING, {}),
    "all_in_parts": (LARGE, "iteration-smoothing", SMOOTHING, {"vector_vectors": 200}),
    "one": (TOY, "dmax", MAXIMAL, {}),
    "three": (TOY, "dmax", {**MAXIMAL, "top_k": 3}, {}),
    "three_wide": (WIDE, "dmax", {**MAXIMAL, "top_k": 3}, {}),
}


def schedule(name: str) -> Schedule:
    _, kind, options, _ = CASES[name]
    return build_schedule(kind, **options)


def view(name: str) -> MachineView:
    return attrs.evolve(view_of(TINY), **CASES[name][3])


def run(name: str, forwards: int) -> tuple[Layout, dict[str, np.ndarray]]:
    """Memories after the first forwards, and the layout."""
    shape = CASES[name][0]
    program, layout = lower_with_layout(shape, schedule(name), view(name), FLOAT_OPTIONS, Window(0, forwards))
    pitch = layout.tables.token_pitch
    canvas = np.full((1, pitch), shape.mask_id)
    canvas[0, : SMOOTHING["prompt"]] = np.arange(SMOOTHING["prompt"])
    state = archsim.new_state(program, TINY, "fp32")
    archsim.load_tensors(state, image(layout, random_weights(shape, 3), canvas))
    archsim.execute(state)
    return layout, archsim.dump_tensors(state)


def logits(layout: Layout, dump: dict[str, np.ndarray], forward: Forward) -> np.ndarray:
    """Of the last forward, (rows, vocab)."""
    chunks, most = layout.dims.chunks, 8
    stored = dump["logits"].view(np.float32)[: chunks * most * VLEN].reshape(chunks, most, VLEN)
    rows = stored.transpose(1, 0, 2).reshape(most, -1)[:, : layout.dims.model.vocab]
    return np.asarray(rows[: forward.head_rows], np.float64)


def mixtures(layout: Layout, dump: dict[str, np.ndarray], rows: int) -> np.ndarray:
    hidden = layout.dims.hidden
    stored = dump["soft_rows"].view(np.float32)[: rows * hidden.blocks * VLEN].reshape(rows, hidden.blocks, VLEN)
    return stored[:, :, : hidden.width].reshape(rows, -1)[:, : layout.dims.model.hidden]


def wanted(rows: np.ndarray, table: np.ndarray, terms: int, mask: int) -> np.ndarray:
    """All embeddings by probability; or the most probable ones and the mask, at the norm that they have."""
    chances = np.exp(rows - rows.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    if terms == 0:
        return chances @ table[: rows.shape[1]]
    best = np.argsort(-chances, axis=1)[:, : terms - 1]
    weights = np.take_along_axis(chances, best, axis=1)
    weights = np.concatenate([weights, 1 - weights.sum(axis=1, keepdims=True)], axis=1)
    terms_of = np.concatenate([table[best], np.broadcast_to(table[mask], (len(rows), 1, table.shape[1]))], axis=1)
    mixed = np.einsum("rt,rth->rh", weights, terms_of)
    goal = (weights * np.linalg.norm(terms_of, axis=2)).sum(axis=1, keepdims=True)
    return mixed * goal / np.linalg.norm(mixed, axis=1, keepdims=True)


@pytest.mark.parametrize("name", CASES)
def test_mixtures_are_those_of_the_definition(name: str) -> None:
    shape = CASES[name][0]
    forwards = list(schedule(name).forwards())
    index = next(index for index, forward in enumerate(forwards) if forward.soft_rows)
    # The forward with soft rows overwrites the logits, so they are those of a run without it; its mixtures are not.
    layout, before = run(name, index)
    _, after = run(name, index + 1)
    soft = forwards[index]
    found = mixtures(layout_of(name, index + 1), after, soft.soft_rows)
    table = random_weights(shape, 3)["embedding.weight"].astype(np.float64)
    rows = logits(layout, before, forwards[index - 1])[: soft.soft_rows]
    expected = wanted(rows, table, soft.soft_terms, shape.mask_id)
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5)
    assert name != "all_in_parts" or layout_of(name, index + 1).mix_parts > 1


def layout_of(name: str, forwards: int) -> Layout:
    return lower_with_layout(CASES[name][0], schedule(name), view(name), FLOAT_OPTIONS, Window(0, forwards))[1]
