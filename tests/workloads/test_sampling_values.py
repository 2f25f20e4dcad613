"""What our sampling phase computes: tokens, confidences and transfers of every mode, against numpy."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

from archsim.isa.program import Header, Program
from tests.workloads.sampling_interpreter import Interpreter
from workloads.lowering.emit.builder import Builder
from workloads.lowering.plan.machine_view import REFERENCE
from workloads.lowering.sampling.online import emit_online_chunks, emit_online_end, emit_online_start, state_words
from workloads.lowering.sampling.phase import emit_sampling
from workloads.lowering.sampling.plan import SamplingPlan
from workloads.lowering.sampling.transfer import emit_masks
from workloads.validation.own import own_sampler
from workloads.validation.published import published_sampler

VLEN, VOCAB, BATCH, ROWS = 64, 300, 3, 5
CHUNKS = -(-VOCAB // VLEN)
VIEW = attrs.evolve(REFERENCE, mlen=VLEN, vlen=VLEN, blen=16, hlen=16, fp_words=4096, int_words=4096)
PLAN = SamplingPlan(
    sequences=BATCH, rows=ROWS, vocab=VOCAB, vlen=VLEN, buffer=8, buffer_vectors=0, masks=0, confidence=BATCH,
    transfer=BATCH + 1, x0=100, x_pitch=ROWS,
)  # fmt: skip


def logits(seed: int, shift: float = 0.0) -> np.ndarray:
    """[sequence][row][vocabulary]; the lanes of the last chunk beyond the vocabulary are put in later."""
    return np.random.default_rng(seed).normal(shift, 4.0, (BATCH, ROWS, VOCAB))


def padded(values: np.ndarray, fill: float) -> np.ndarray:
    full = np.full((BATCH, ROWS, CHUNKS * VLEN), fill)
    full[:, :, :VOCAB] = values
    return full.reshape(BATCH, ROWS, CHUNKS, VLEN)


def by_chunk(values: np.ndarray, fill: float = 100.0) -> np.ndarray:
    """HBM image [sequence][chunk][row][lane]; padding lanes hold a value that would win every maximum."""
    return padded(values, fill).transpose(0, 2, 1, 3).ravel()


def softmax_max(values: np.ndarray) -> np.ndarray:
    return 1 / np.exp(values - values.max(axis=-1, keepdims=True)).sum(axis=-1)


def expected_x(values: np.ndarray, k: int, start: int) -> np.ndarray:
    x = np.full((BATCH, ROWS), start)
    for sequence, confidence in enumerate(softmax_max(values)):
        best = np.argsort(-confidence, kind="stable")[:k]
        x[sequence, best] = values[sequence, best].argmax(axis=-1)
    return x


def program(emit, x: int = 0, k: int = 2) -> Program:
    builder = Builder()
    with builder.reg(x) as x_register, builder.reg(k) as k_register:
        emit(builder, x_register, k_register)
    image = tuple([7] * (BATCH * ROWS))
    return Program(instructions=tuple(builder.instructions), header=Header(int_mem=(image,)))


def sampled(machine: Interpreter, x0: int) -> np.ndarray:
    return machine.ints[x0 : x0 + BATCH * ROWS].reshape(BATCH, ROWS)


@pytest.mark.parametrize("shift", [0.0, -50.0], ids=["mixed", "all negative"])
@pytest.mark.parametrize(("vectors", "group_rows"), [(200, None), (200, 2), (200, 3), (80, None), (12, None)])
def test_stand_alone_sampler_takes_every_argmax(vectors: int, group_rows: int | None, shift: float) -> None:
    view = attrs.evolve(VIEW, vector_vectors=vectors)
    made = own_sampler(view, batch=BATCH, length=ROWS, vocab=VOCAB, group_rows=group_rows)
    values = logits(1, shift)
    machine = Interpreter(VLEN, vectors, by_chunk(values))
    machine.run(made)
    best = values.argmax(axis=-1)
    assert (sampled(machine, BATCH * ROWS) == best).all()
    assert (machine.ints[: BATCH * ROWS] == best.ravel()).all()
    np.testing.assert_allclose(machine.fp[:ROWS], softmax_max(values)[-1], rtol=1e-12)


def test_too_small_a_vector_sram_for_one_row_means_edge_mode() -> None:
    made = own_sampler(attrs.evolve(VIEW, vector_vectors=12), batch=BATCH, length=ROWS, vocab=VOCAB)
    assert made.header.notes == ("sampling mode edge, 0 rows a load",)


@pytest.mark.parametrize("mode", ["spill", "edge", "onchip"])
def test_k_most_confident_masked_positions_take_their_token(mode: str) -> None:
    rows = BATCH * ROWS
    plan = attrs.evolve(PLAN, mode=mode, buffer_vectors=rows * CHUNKS if mode == "onchip" else 20, group_rows=2)

    def emit(builder: Builder, x: int, k: int) -> None:
        emit_masks(builder, plan)
        emit_sampling(builder, attrs.evolve(plan, x_register=x, k_register=k))

    values = logits(2)
    machine = Interpreter(VLEN, 8 + rows * CHUNKS, by_chunk(values))
    if mode == "onchip":
        on_chip = padded(values, 100.0).transpose(2, 0, 1, 3).ravel()
        machine.vectors[8 * VLEN :] = on_chip
    machine.run(program(emit, k=2))
    assert (machine.ints[:rows].reshape(BATCH, ROWS) == expected_x(values, 2, 7)).all()
    masks = machine.vectors[: BATCH * VLEN].reshape(BATCH, VLEN)[:, :ROWS]
    assert (masks == (expected_x(values, 2, 7) == 7)).all()


def test_committed_positions_are_not_taken_again() -> None:
    """Two rounds of k = 2 commit four positions, and the first two keep their token."""
    plan = attrs.evolve(PLAN, buffer_vectors=20, group_rows=2)

    def emit(builder: Builder, x: int, k: int) -> None:
        emit_masks(builder, plan)
        for _ in range(2):
            emit_sampling(builder, attrs.evolve(plan, x_register=x, k_register=k))

    values = logits(3)
    machine = Interpreter(VLEN, 40, by_chunk(values))
    machine.run(program(emit, k=2))
    assert (machine.ints[: BATCH * ROWS].reshape(BATCH, ROWS) == expected_x(values, 4, 7)).all()


def test_greedy_stores_the_argmax_only() -> None:
    plan = attrs.evolve(PLAN, buffer_vectors=20, group_rows=2, greedy=True)
    machine = Interpreter(VLEN, 40, by_chunk(values := logits(4)))
    machine.run(program(lambda builder, x, k: emit_sampling(builder, plan)))
    assert (sampled(machine, 100) == values.argmax(axis=-1)).all()
    assert machine.executed["V_EXP_V"] == machine.executed["V_TOPK_MASK"] == 0


@pytest.mark.parametrize("group", [1, 2, CHUNKS])
@pytest.mark.parametrize("shift", [0.0, -50.0])
def test_online_sampling_equals_two_passes(group: int, shift: float) -> None:
    plan = attrs.evolve(PLAN, scalars=(1, 2, 3, 4, 5, 6))
    rows, values = BATCH * ROWS, logits(5, shift)
    whole = padded(values, 100.0).transpose(2, 0, 1, 3).ravel()

    def emit(builder: Builder, x: int, k: int) -> None:
        emit_masks(builder, plan)
        emit_online_start(builder, plan)
        for first in range(0, CHUNKS, group):
            chunks = min(group, CHUNKS - first)
            emit_online_chunks(builder, plan, first, chunks, 8 + first * rows)
        emit_online_end(builder, attrs.evolve(plan, x_register=x, k_register=k))

    machine = Interpreter(VLEN, 8 + rows * CHUNKS, np.zeros(0))
    machine.vectors[8 * VLEN :] = whole
    machine.run(program(emit, k=3))
    assert (sampled(machine, 100)[:, :ROWS] != 7).all()
    assert (machine.ints[:rows].reshape(BATCH, ROWS) == expected_x(values, 3, 7)).all()
    sums = machine.fp[state_words(plan) // 2 :][:rows]
    np.testing.assert_allclose(sums, softmax_max(values).ravel(), rtol=1e-9)


@pytest.mark.parametrize("shift", [0.0, -50.0], ids=["mixed", "all negative"])
def test_published_program_transfers_all_positions_in_one_step(shift: float) -> None:
    batch = BATCH
    made = published_sampler(VLEN, batch=batch, length=ROWS, vocab=VOCAB)
    values = logits(6, shift)
    vectors = -(-ROWS * CHUNKS // 16) * 16
    image = np.zeros((batch, vectors * VLEN))
    image[:, : ROWS * CHUNKS * VLEN] = padded(values, -1e2).reshape(batch, -1)
    hbm = np.concatenate([image.ravel(), np.ones(16 * VLEN)])
    machine = Interpreter(VLEN, 3 * batch + vectors, hbm)
    machine.run(made)
    assert (machine.ints[: batch * ROWS] == values.argmax(axis=-1).ravel()).all()
