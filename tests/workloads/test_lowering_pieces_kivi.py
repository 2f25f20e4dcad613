"""KIVI where attention takes keys by pieces and rows come in tiles: tokens and logits of the quantised reference."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

import archsim
from archsim.isa.formats import BY_CHANNEL
from tests.workloads.walk import walk
from workloads.forwards import Window
from workloads.lowering.generation import lower_with_layout
from workloads.lowering.plan.machine_view import view_of
from workloads.schedules import build_schedule
from workloads.tiny.checkpoint import Checkpoint, fold, random_checkpoint
from workloads.tiny.program import FLOAT_OPTIONS, memory_image, numerics_of, tokens_of
from workloads.tiny.reference import Reference, generate
from workloads.tiny.tasks import MASK, VOCAB

TINY = archsim.load_machine("tiny")
NARROW = attrs.evolve(TINY, matrix_sram=attrs.evolve(TINY.matrix_sram, capacity=200 << 10))
"""Room for pieces of five key tiles."""
KIVI = attrs.evolve(FLOAT_OPTIONS, kv="int4_asymmetric", kv_scheme="kivi")
"""FP32 but for the cache: running sums are no less exact than sums over all keys."""
GEN, BLOCK = 8, 4


def sharp(layers: int) -> Checkpoint:
    """Untrained, with attention that tells keys apart, so that neighbours get tokens of their own."""
    checkpoint = random_checkpoint(1, layers=layers)
    weights = {name: 4 * value if name.endswith(".q.weight") else value for name, value in checkpoint.weights.items()}
    return attrs.evolve(checkpoint, weights=weights)


@pytest.mark.parametrize(
    ("cache", "prompt", "batch", "layers"),
    [
        ("dual", 509, 1, 1),
        ("prefix", 509, 1, 2),
        pytest.param("dual", 509, 2, 2, marks=pytest.mark.slow),
        pytest.param("none", 504, 1, 2, marks=pytest.mark.slow),
    ],
)
def test_tokens_and_logits_of_long_canvases(cache: str, prompt: int, batch: int, layers: int) -> None:
    """Of 517 positions the last group holds 5; blocks of 4 from position 509 on lie in two groups."""
    checkpoint = sharp(layers)
    given = {"prompt": prompt, "gen": GEN, "block": BLOCK, "steps": 4, "cache": cache}
    program, layout = lower_with_layout(
        checkpoint.shape, build_schedule("llada", batch=batch, **given), view_of(NARROW), KIVI
    )
    assert 0 < layout.dims.piece_tiles < prompt // TINY.core.hlen
    ids = np.random.default_rng(0).integers(0, MASK, (batch, prompt))
    model = Reference(fold(checkpoint), numerics_of(KIVI, "fp32"))
    wanted, choices = generate(model, ids, gen=GEN, block=BLOCK, steps=4, cache=cache)
    state = archsim.new_state(program, NARROW, "fp32")
    archsim.load_tensors(state, memory_image(layout, checkpoint, ids))
    archsim.execute(state)
    assert tokens_of(state.cores[0].ints, layout)[:, : prompt + GEN].tolist() == wanted.tolist()
    assert len(set(wanted[0, prompt:].tolist())) > 2
    logits = archsim.dump_tensors(state)["logits"].view(np.float32)[: batch * BLOCK * TINY.core.vlen]
    found = logits.reshape(batch, BLOCK, -1)[:, :, :VOCAB]
    # Few of the 4-bit codes, if any, are others where sums are rounded otherwise.
    np.testing.assert_allclose(found, choices[-1].logits, atol=2e-3)


def test_row_tiles_begin_with_a_group_of_rows_that_share_scales() -> None:
    """A tile that began inside a group would store rows again that are rounded already."""
    schedule = build_schedule("llada", prompt=509, gen=GEN, block=BLOCK, steps=4, cache="dual")
    program, layout = lower_with_layout(sharp(1).shape, schedule, view_of(NARROW), KIVI, Window(0, 1))
    stores = [step for step in walk(program) if step.mnemonic == "K_STORE" and step.operands["scheme"] == BY_CHANNEL]
    starts = [step.operands["rs1"] // layout.dims.kv.width for step in stores]
    assert len(starts) > 2
    assert all(start % 32 == 0 for start in starts)
