"""Rows that see only some of the forward's own keys: logits against a plain model with the same masks."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest

import archsim
from archsim.errors import WorkloadError
from tests.workloads.cases import scripted
from tests.workloads.plain_model import Plain, random_weights
from tests.workloads.small_view import MODEL, SMALL
from workloads.forwards import Forward
from workloads.lowering.generation import lower, lower_with_layout
from workloads.lowering.image import image
from workloads.lowering.plan.machine_view import view_of
from workloads.models import load_model
from workloads.schedules import build_schedule
from workloads.tiny.program import FLOAT_OPTIONS

TINY = archsim.load_machine("tiny")
VLEN, HLEN = TINY.core.vlen, TINY.core.hlen
SHAPE = load_model("llada-8b").shrunk(layers=2, hidden=64, heads=4, kv_heads=2, head_dim=32, ffn=96, vocab=64)


def forward(index: int, kind: str, start: int, rows: int, **fields: Any) -> Forward:
    return Forward(
        index=index, kind=kind, q_rows=rows, kv_rows=start + rows, head_rows=rows, sampled_rows=rows, committed=0,
        sequences=1, q_start=start, write_start=start, write_rows=rows, head_start=start, block_start=start,
        block_index=0, step_in_block=index, **fields,
    )  # fmt: skip


def visible(start: int, rows: int, fields: dict[str, Any]) -> np.ndarray:
    """(rows, keys) by definition."""
    out = np.zeros((rows, start + rows), bool)
    out[:, :start] = True
    for row in range(rows):
        if "tree" in fields:
            node = row
            while node > 0:
                out[row, start + node] = True
                node = (node - 1) // 3 * 3
            out[row, start] = True
        else:
            size = int(fields.get("causal_rows", rows))
            first = row // size * size if "separate" in fields else 0
            out[row, start + first : start + (row // size + 1) * size] = True
    return out


MASKS = {
    "causal": {"causal_rows": 1}, "groups": {"causal_rows": 4}, "tree": {"tree": 3},
    "drafts": {"causal_rows": 4, "separate": True},
}  # fmt: skip


@pytest.mark.parametrize(("start", "rows"), [(20, 8), (28, 8), (30, 20), (32, 12), (3, 40), (60, 4), (0, 12)])
@pytest.mark.parametrize("mask", MASKS)
def test_rows_see_what_the_definition_says(mask: str, start: int, rows: int) -> None:
    fields = MASKS[mask]
    total = start + rows
    schedule = scripted(forward(0, "warm", 0, total), forward(1, "refine", start, rows, **fields))
    program, layout = lower_with_layout(SHAPE, schedule, view_of(TINY), FLOAT_OPTIONS)
    weights = random_weights(SHAPE, 3)
    canvas = np.random.default_rng(1).integers(0, 60, (1, total))
    state = archsim.new_state(program, TINY, "fp32")
    archsim.load_tensors(state, image(layout, weights, canvas))
    archsim.execute(state)
    found = archsim.dump_tensors(state)["logits"].view(np.float32)[: rows * VLEN].reshape(rows, VLEN)[:, :64]
    model = Plain(SHAPE, weights)
    model.forward(canvas, 0, slice(0, total))
    everything = model.forward(canvas[:, start:], start, slice(0, rows))[0]
    model.forward(canvas, 0, slice(0, total))
    model.visible = visible(start, rows, fields)
    if "tree" in fields:
        model.depths = np.array([-(-row // 3) for row in range(rows)])
    wanted = model.forward(canvas[:, start:], start, slice(0, rows))[0]
    np.testing.assert_allclose(found, wanted, atol=2e-3)
    assert np.abs(everything - wanted).max() > 0.01 or rows <= 4
    assert HLEN == 32  # so that the cases meet one, two and three key tiles


@pytest.mark.parametrize("committed", [1, 2, 4])
def test_keys_and_values_of_accepted_nodes_are_moved(committed: int) -> None:
    """Node 3 d is the accepted one of depth d; its K and V go to row d behind the root's."""
    start, rows = 20, 10
    verify = forward(1, "refine", start, rows, tree=3)
    caches = []
    for count in (0, committed):
        schedule = scripted(forward(0, "warm", 0, start + rows), attrs.evolve(verify, committed=count))
        program, layout = lower_with_layout(SHAPE, schedule, view_of(TINY), FLOAT_OPTIONS)
        canvas = np.random.default_rng(1).integers(0, 60, (1, start + rows))
        state = archsim.new_state(program, TINY, "fp32")
        archsim.load_tensors(state, image(layout, random_weights(SHAPE, 3), canvas))
        archsim.execute(state)
        dumped, (tensor,) = archsim.dump_tensors(state)["kv_cache"], layout.tensors.kv[""]
        width = layout.dims.kv.width
        stacks = [dumped[base - tensor.base :][: 4 * tensor.elements].view(np.float32) for base in tensor.bases]
        caches.append(np.stack(stacks).reshape(SHAPE.layers, 2, -1, width))
    before, after = caches
    wanted = before.copy()
    for depth in range(1, committed):
        wanted[:, :, start + depth] = before[:, :, start + 3 * depth]
    np.testing.assert_array_equal(after, wanted)
    assert (before == after).all() == (committed == 1)


def test_verifying_forwards_have_the_masks_of_their_method() -> None:
    def masks(name: str, **options: object) -> list[tuple[int, int]]:
        given = {"prompt": 16, "gen": 16, "block": 8, "mean": 3.0, **options}
        return [(forward.causal_rows, forward.tree) for forward in build_schedule(name, **given).forwards()]

    assert masks("bastion", nodes=12)[:3] == [(0, 0), (0, 0), (0, 2)]
    assert masks("taps", nodes=12)[:3] == [(0, 0), (0, 0), (0, 2)]
    assert masks("freedave", draft_steps=2)[:2] == [(0, 0), (8, 0)]
    assert masks("orthrus", nodes=7)[:3] == [(0, 0), (0, 0), (1, 0)]
    assert masks("guided-diffusion")[:2] == [(0, 0), (1, 0)]
    assert (8, 0) in masks("dmax")


def test_masks_need_the_last_keys_and_whole_groups() -> None:
    sound = forward(0, "refine", 16, 8, causal_rows=1)
    for changes in ({"kv_rows": 32}, {"causal_rows": 3}, {"scattered": True}):
        with pytest.raises(WorkloadError, match="forward 0: rows that do not all see the same keys"):
            lower(MODEL, scripted(attrs.evolve(sound, **changes)), SMALL)


def test_trees_of_several_sequences_and_of_several_shapes_are_refused() -> None:
    sound = forward(0, "refine", 16, 8, tree=2)
    with pytest.raises(WorkloadError, match="forward 0: trees of 2 sequences; expected one sequence"):
        lower(MODEL, scripted(attrs.evolve(sound, sequences=2)), SMALL)
    other = forward(1, "refine", 16, 12, tree=3)
    with pytest.raises(WorkloadError, match="trees of 8 rows, 2 at each depth, 12 rows, 3 at each depth; expected one"):
        lower(MODEL, scripted(sound, other), SMALL)


def test_row_tiles_are_refused() -> None:
    tight = attrs.evolve(SMALL, vector_vectors=330)
    with pytest.raises(WorkloadError, match="refine of 96 rows, each with a mask of its own; expected all to fit"):
        lower(MODEL, scripted(forward(0, "refine", 0, 96, causal_rows=1)), tight)
