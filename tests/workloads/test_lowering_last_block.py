"""A scale block of spilled logits that the n-tiles cover in part: what lies in its other lanes counts for nothing."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

import archsim
from archsim.isa.formats import FORMATS
from archsim.isa.program import Program
from archsim.isa.semantics.numbers import NUMBERS, round_trip
from archsim.isa.semantics.storage import decode
from tests.workloads.plain_model import random_weights
from workloads.lowering import forward
from workloads.lowering.emit.context import Context
from workloads.lowering.generation import lower_with_layout
from workloads.lowering.head import lm_head as head
from workloads.lowering.image import image
from workloads.lowering.layout import Layout
from workloads.lowering.plan.machine_view import view_of
from workloads.lowering.sampling.plan import SamplingPlan
from workloads.models import load_model
from workloads.schedules import build_schedule
from workloads.tiny.program import FLOAT_OPTIONS

TINY = archsim.load_machine("tiny")
LANES, ROWS, SEQUENCES = TINY.core.vlen, 8, 2


def lowered(vocab: int, logits: str) -> tuple[Program, Layout]:
    """One forward of two sequences, all of whose rows are sampled."""
    model = load_model("llada-8b").shrunk(layers=1, hidden=64, heads=2, kv_heads=2, head_dim=32, ffn=96, vocab=vocab)
    schedule = build_schedule("llada", prompt=8, gen=ROWS, block=ROWS, steps=1, batch=SEQUENCES)
    options = attrs.evolve(FLOAT_OPTIONS, logits_format=logits)
    return lower_with_layout(model, schedule, view_of(TINY), options)


def logits_of(vocab: int, logits: str) -> np.ndarray:
    """Logits in HBM (sequences, rows, vocabulary) after the forward."""
    program, layout = lowered(vocab, logits)
    model = layout.dims.model
    prompts = np.random.default_rng(5).integers(0, vocab - 1, (SEQUENCES, 8))
    canvases = np.concatenate([prompts, np.full((SEQUENCES, ROWS), model.mask_id)], axis=1)
    state = archsim.new_state(program, TINY, "fp32")
    archsim.load_tensors(state, image(layout, random_weights(model, 3), canvases))
    archsim.execute(state)
    found, count = archsim.dump_tensors(state), SEQUENCES * ROWS * layout.dims.chunks * LANES
    fmt = FORMATS[logits]
    scales = found["logits.scales"][: count // 32] if fmt.block else np.zeros(0, np.uint8)
    values = decode(found["logits"][: fmt.code_bytes(count)], scales, fmt, count)
    by_chunk = values.reshape(SEQUENCES, -1, ROWS, LANES).swapaxes(1, 2)
    return by_chunk.reshape(SEQUENCES, ROWS, -1)[:, :, :vocab]


@pytest.fixture
def infinite_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the LM head every vector of its logits is filled with infinities, which would make their blocks NaN."""
    emit = head.lm_head

    def planted(c: Context, plan: SamplingPlan) -> None:
        v, source = c.vectors, c.head(c.vectors.normed)
        c.b.emit("S_RECI_FP", 1, 0)
        c.b.v_rows(v.head_rows)
        for buffer in range(v.logit_buffers):
            c.b.emit("V_ADD_VF", c.v(v.logits + buffer * v.head_rows), c.v(source.base), 1)
        emit(c, plan)

    monkeypatch.setattr(forward, "lm_head", planted)


@pytest.mark.usefixtures("infinite_lanes")
@pytest.mark.parametrize("vocab", [40, 58, LANES + 40, LANES])
def test_logits_are_those_of_a_block_of_zeros_beyond_the_vocabulary(vocab: int) -> None:
    exact = logits_of(vocab, "fp32")
    assert np.isfinite(exact).all()
    filled = np.zeros((*exact.shape[:2], -(-vocab // 32) * 32))
    filled[:, :, :vocab] = exact
    wanted = round_trip(filled, NUMBERS["mxfp8"])[:, :, :vocab]
    np.testing.assert_array_equal(logits_of(vocab, "mxfp8"), wanted)


@pytest.mark.usefixtures("infinite_lanes")
def test_the_planted_lanes_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "_block_is_split", lambda _c: False)
    assert np.isnan(logits_of(40, "mxfp8")[:, :, 32:]).all()


@pytest.mark.parametrize(
    ("vocab", "logits", "cleared"), [(40, "mxfp8", 2), (40, "fp32", 0), (64, "mxfp8", 0), (58, "mxfp8", 0)]
)
def test_only_blocks_that_are_split_cost_anything(vocab: int, logits: str, cleared: int) -> None:
    """One instruction for each sequence; 58 entries take four n-tiles of 16, which are two blocks."""
    program, _ = lowered(vocab, logits)
    assert sum(one.opcode.mnemonic == "V_SHFT_V" for one in program.instructions) == cleared
