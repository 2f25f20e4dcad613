"""A network behind sampling chooses the rows that a plain computation of it chooses."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

import archsim
from tests.workloads.plain_model import Plain, random_weights
from tests.workloads.test_row_masks import SHAPE, TINY
from workloads.forwards import Window
from workloads.lowering.generation import lower_with_layout
from workloads.lowering.image import image
from workloads.lowering.plan.machine_view import view_of
from workloads.schedules import build_schedule
from workloads.shape import ModelShape
from workloads.tiny.program import FLOAT_OPTIONS, tokens_of

PROMPT, GEN, BLEN = 12, 16, TINY.core.blen
SHAPES = {"one block": SHAPE, "two blocks": attrs.evolve(SHAPE, hidden=320, heads=10, kv_heads=2)}


def chosen(shape: ModelShape, weights: dict[str, np.ndarray], canvas: np.ndarray, outputs: int, k: int) -> list[int]:
    """The k rows of the best scores: the sum of the last matrix's outputs, of rows and their tokens' embeddings."""
    own = slice(PROMPT, PROMPT + GEN)
    tokens = Plain(shape, weights).forward(canvas, 0, own)[0].argmax(axis=1)
    normed = Plain(shape, weights | {"head.weight": np.eye(shape.hidden)}).forward(canvas, 0, own)[0]
    rows = normed + weights["embedding.weight"][tokens]
    policy = weights["policy.weight"].astype(np.float64)
    while len(policy) > shape.hidden:
        rows = rows @ policy[: shape.hidden].T
        rows, policy = rows / (1 + np.exp(-rows)), policy[shape.hidden :]
    last = (len(policy) - 1) // (shape.hidden // blocks(shape)) * (shape.hidden // blocks(shape))
    inner = rows @ policy.T
    return sorted(np.argsort(-inner[:, last:].sum(axis=1), kind="stable")[:k].tolist())


def blocks(shape: ModelShape) -> int:
    return -(-shape.hidden // TINY.core.vlen)


@pytest.mark.parametrize(("name", "tiles"), [("one block", 1), ("one block", 25), ("two blocks", 7)])
def test_rows_are_those_of_the_best_scores(name: str, tiles: int) -> None:
    shape, k = SHAPES[name], 5
    outputs = tiles * BLEN
    draw = np.random.default_rng(tiles)
    weights = random_weights(shape, 3)
    weights["policy.weight"] = (draw.standard_normal((outputs, shape.hidden)) / 4).astype(np.float32)
    schedule = build_schedule(
        "learned-policy", prompt=PROMPT, gen=GEN, block=GEN, counts=f"{k} {GEN - k}",
        policy_parameters=outputs * shape.hidden,
    )  # fmt: skip
    program, layout = lower_with_layout(shape, schedule, view_of(TINY), FLOAT_OPTIONS, Window(0, 1))
    canvas = np.concatenate([draw.integers(0, 60, PROMPT), np.full(GEN, shape.mask_id)])[None]
    state = archsim.new_state(program, TINY, "fp32")
    archsim.load_tensors(state, image(layout, weights, canvas))
    archsim.execute(state)
    after = tokens_of(state.cores[0].ints, layout)[0, PROMPT:]
    assert np.flatnonzero(after != shape.mask_id).tolist() == chosen(shape, weights, canvas, outputs, k)
