"""Attention to more keys than fit on chip: values as those of a plain model, and programs that are small."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

import archsim
from archsim.errors import WorkloadError
from archsim.isa.program import Program
from tests.workloads.plain_model import Plain, random_weights
from tests.workloads.walk import walk
from workloads.forwards import Window
from workloads.lowering.generation import lower, lower_with_layout
from workloads.lowering.image import image
from workloads.lowering.layout import Layout
from workloads.lowering.options import LoweringOptions
from workloads.lowering.plan.machine_view import REFERENCE, view_of
from workloads.models import load_model
from workloads.schedules import build_schedule
from workloads.tiny.program import FLOAT_OPTIONS
from workloads.tiny.reference import generate

TINY = archsim.load_machine("tiny")
NARROW = attrs.evolve(TINY, matrix_sram=attrs.evolve(TINY.matrix_sram, capacity=544 << 10))
"""Room for 15 key tiles in FP32 and no weights; pieces are two tiles."""
MODEL = load_model("llada-8b").shrunk(
    layers=1, hidden=64, heads=4, kv_heads=2, head_dim=32, ffn=96, vocab=64, name="toy"
)
PROMPT, GEN, BLOCK = 509, 8, 4


def logits_of(program: Program, layout: Layout, weights: dict[str, np.ndarray], canvases: np.ndarray) -> np.ndarray:
    """Run it; the logits of the last forward (sequences, rows, vocab)."""
    state = archsim.new_state(program, NARROW, "fp32")
    archsim.load_tensors(state, image(layout, weights, canvases))
    archsim.execute(state)
    sequences, rows = layout.sequences, program.header.forwards[-1]["head_rows"]
    found = archsim.dump_tensors(state)["logits"].view(np.float32)[: sequences * rows * NARROW.core.vlen]
    return found.reshape(sequences, rows, -1)[:, :, : layout.dims.model.vocab]


@pytest.mark.parametrize(
    ("cache", "batch", "prompt"),
    [
        ("dual", 1, PROMPT),
        pytest.param("none", 1, 504, marks=pytest.mark.slow),
        pytest.param("dual", 2, PROMPT, marks=pytest.mark.slow),
    ],
)
def test_long_canvases_compute_what_the_plain_model_computes(cache: str, batch: int, prompt: int) -> None:
    """Row tiles in warm forwards, and refine forwards without; the last key tile full or not."""
    given = {"prompt": prompt, "gen": GEN, "block": BLOCK, "steps": 4, "cache": cache, "batch": batch}
    program, layout = lower_with_layout(MODEL, build_schedule("llada", **given), view_of(NARROW), FLOAT_OPTIONS)
    assert layout.dims.piece_tiles == 2
    weights = random_weights(MODEL, 3)
    prompts = np.random.default_rng(5).integers(0, 63, (batch, prompt))
    canvases = np.concatenate([prompts, np.full((batch, GEN), MODEL.mask_id)], axis=1)
    _, choices = generate(
        Plain(MODEL, weights), prompts, gen=GEN, block=BLOCK, steps=4, cache=cache, mask=MODEL.mask_id
    )
    found = logits_of(program, layout, weights, canvases)
    np.testing.assert_allclose(found, choices[-1].logits, atol=2e-3)


def test_long_prompts_from_left_to_right() -> None:
    shape = attrs.evolve(MODEL, kind="ar", mask_id=None)
    schedule = build_schedule("autoregressive", prompt=520, gen=3)
    program, layout = lower_with_layout(shape, schedule, view_of(NARROW), FLOAT_OPTIONS)
    weights = random_weights(shape, 3)
    prompts = np.random.default_rng(5).integers(0, 63, (1, 520))
    model = Plain(shape, weights)
    logits = model.forward(prompts, 0, slice(519, 520))
    for position in (520, 521):
        logits = model.forward(logits.argmax(axis=-1), position, slice(0, 1))
    pitch = layout.tables.token_pitch
    canvases = np.concatenate([prompts, np.zeros((1, pitch - 520), int)], axis=1)
    np.testing.assert_allclose(logits_of(program, layout, weights, canvases), logits, atol=2e-3)


@pytest.mark.slow
def test_a_timed_run_leaves_the_same_memory() -> None:
    schedule = build_schedule("llada", prompt=PROMPT, gen=BLOCK, block=BLOCK, steps=2, cache="dual")
    program, layout = lower_with_layout(MODEL, schedule, view_of(NARROW), FLOAT_OPTIONS)
    prompts = np.random.default_rng(5).integers(0, 63, (1, PROMPT))
    canvases = np.concatenate([prompts, np.full((1, BLOCK), MODEL.mask_id)], axis=1)
    dumps = []
    for timed in (False, True):
        state = archsim.new_state(program, NARROW, "fp32")
        archsim.load_tensors(state, image(layout, random_weights(MODEL, 3), canvases))
        if timed:
            archsim.simulate(program, NARROW, values=state)
        else:
            archsim.execute(state)
        dumps.append(archsim.dump_tensors(state))
    assert all(np.array_equal(dumps[0][key], dumps[1][key], equal_nan=True) for key in dumps[0])


def test_every_key_tile_is_fetched_once_for_each_group_of_heads() -> None:
    schedule = build_schedule("llada", prompt=PROMPT, gen=GEN, block=BLOCK, steps=4, cache="dual")
    made = lower(MODEL, schedule, view_of(NARROW), FLOAT_OPTIONS, Window(1, 2))
    tiles = [
        (step.operands["rs2"], step.operands["rs1"], step.state["m_fetch"][1])
        for step in walk(made)
        if step.mnemonic == "H_PREFETCH_M" and step.operands["precision"] == 1
    ]
    assert len(set(tiles)) == len(tiles) == 2 * 17
    assert sum(elements for _, _, elements in tiles) == 2 * (PROMPT + GEN) * 64


@pytest.mark.parametrize("positions", [8192, 32768])
@pytest.mark.parametrize("scheme", ["baos", "rtn"])
def test_long_contexts_lower_for_the_reference_machine(positions: int, scheme: str) -> None:
    schedule = build_schedule("longllada", prompt=positions - 64, gen=64, block=32, cache="dual")
    made = lower(load_model("llada-8b"), schedule, REFERENCE, LoweringOptions(kv_scheme=scheme), Window(0, 2))
    assert len(made.instructions) < 60_000
    assert made.header.forwards[1]["kv_rows"] == positions


def test_a_piece_that_does_not_fit_is_refused_as_before() -> None:
    view = attrs.evolve(view_of(NARROW), matrix_cells=200_000)
    schedule = build_schedule("llada", prompt=PROMPT, gen=GEN, block=BLOCK, steps=4, cache="dual")
    with pytest.raises(WorkloadError, match="17 key tiles of a sequence take 1114112 cells of Matrix SRAM"):
        lower(MODEL, schedule, view, FLOAT_OPTIONS)
