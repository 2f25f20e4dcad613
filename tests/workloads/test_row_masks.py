"""Rows that see only some of the forward's own keys: logits against a plain model with the same masks."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

import archsim
from archsim.errors import WorkloadError
from tests.workloads.plain_model import Plain, random_weights
from tests.workloads.test_lowering_networks import MODEL, SMALL
from workloads.forwards import Forward, Schedule
from workloads.lowering.generation import lower, lower_with_layout
from workloads.lowering.image import image
from workloads.lowering.machine_view import view_of
from workloads.models import load_model
from workloads.schedules import build_schedule
from workloads.tiny.program import FLOAT_OPTIONS

TINY = archsim.load_machine("tiny")
VLEN, HLEN = TINY.core.vlen, TINY.core.hlen
SHAPE = load_model("llada-8b").shrunk(layers=2, hidden=64, heads=4, kv_heads=2, head_dim=32, ffn=96, vocab=64)


def forward(index: int, kind: str, start: int, rows: int, **fields: object) -> Forward:
    return Forward(
        index=index, kind=kind, q_rows=rows, kv_rows=start + rows, head_rows=rows, sampled_rows=rows, committed=0,
        sequences=1, q_start=start, write_start=start, write_rows=rows, head_start=start, block_start=start,
        block_index=0, step_in_block=index, **fields,  # type: ignore[arg-type]
    )  # fmt: skip


def scripted(*forwards: Forward) -> Schedule:
    class Scripted:
        name, unlowerable, evidence, commit_source = "scripted", None, "code run", None

        def forwards(self):  # type: ignore[no-untyped-def]
            return iter(forwards)

        def describe(self):  # type: ignore[no-untyped-def]
            return {}

    return Scripted()  # type: ignore[return-value]


def visible(start: int, rows: int, fields: dict[str, object]) -> np.ndarray:
    """(rows, keys) by definition."""
    out = np.zeros((rows, start + rows), bool)
    out[:, :start] = True
    for row in range(rows):
        if "tree" in fields:
            node = row
            while node > 0:
                out[row, start + node] = True
                node = (node - 1) // 2
            out[row, start] = True
        else:
            size = int(fields.get("causal_rows", rows))  # type: ignore[call-overload]
            first = row // size * size if "separate" in fields else 0
            out[row, start + first : start + (row // size + 1) * size] = True
    return out


MASKS = {
    "causal": {"causal_rows": 1}, "groups": {"causal_rows": 4}, "tree": {"tree": True},
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
    wanted = model.forward(canvas[:, start:], start, slice(0, rows))[0]
    np.testing.assert_allclose(found, wanted, atol=2e-3)
    assert np.abs(everything - wanted).max() > 0.01 or rows <= 4
    assert HLEN == 32  # so that the cases meet one, two and three key tiles


def test_verifying_forwards_have_the_masks_of_their_method() -> None:
    def masks(name: str, **options: object) -> list[tuple[int, bool]]:
        given = {"prompt": 16, "gen": 16, "block": 8, "mean": 3.0, **options}
        return [(forward.causal_rows, forward.tree) for forward in build_schedule(name, **given).forwards()]

    assert masks("bastion", nodes=12)[:3] == [(0, False), (0, False), (0, True)]
    assert masks("taps", nodes=12)[:3] == [(0, False), (0, False), (0, True)]
    assert masks("freedave", draft_steps=2)[:2] == [(0, False), (8, False)]
    assert masks("orthrus", nodes=7)[:3] == [(0, False), (0, False), (1, False)]
    assert masks("guided-diffusion")[:2] == [(0, False), (1, False)]
    assert (8, False) in masks("dmax")


def test_masks_need_the_last_keys_and_whole_groups() -> None:
    sound = forward(0, "refine", 16, 8, causal_rows=1)
    for changes in ({"kv_rows": 32}, {"causal_rows": 3}, {"scattered": True}):
        with pytest.raises(WorkloadError, match="forward 0: rows that do not all see the same keys"):
            lower(MODEL, scripted(attrs.evolve(sound, **changes)), SMALL)


def test_row_tiles_are_refused() -> None:
    tight = attrs.evolve(SMALL, vector_vectors=330)
    with pytest.raises(WorkloadError, match="refine of 96 rows, each with a mask of its own; expected all to fit"):
        lower(MODEL, scripted(forward(0, "refine", 0, 96, causal_rows=1)), tight)
