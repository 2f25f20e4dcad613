"""What rows are chosen by, and the distance of the two largest logits: the program's values against numpy."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

from archsim.isa.program import Header, Program
from tests.workloads.sampling_interpreter import Interpreter
from workloads.lowering.emit.builder import Builder
from workloads.lowering.sampling.likelihood import first_word
from workloads.lowering.sampling.phase import emit_sampling
from workloads.lowering.sampling.plan import SamplingPlan
from workloads.lowering.sampling.transfer import emit_masks

VLEN, VOCAB, ROWS, BATCH = 64, 300, 5, 2
CHUNKS = -(-VOCAB // VLEN)
PLAN = SamplingPlan(
    sequences=BATCH, rows=ROWS, vocab=VOCAB, vlen=VLEN, buffer=8, buffer_vectors=3 * CHUNKS, masks=0,
    confidence=BATCH, transfer=BATCH + 1, x0=100, x_pitch=ROWS, pairs=3, scalars=(1, 2, 3, 4, 5, 6, 7),
)  # fmt: skip
LOGITS = np.random.default_rng(5).normal(0, 4.0, (BATCH, ROWS, VOCAB))


def run(plan: SamplingPlan) -> Interpreter:
    builder = Builder()
    emit_masks(builder, plan)
    for sequence in range(plan.sequences):  # the given tokens' logits add up to 0
        builder.emit("S_ST_FP", 0, builder.const(first_word(plan) + sequence))
    with builder.reg(0) as x, builder.reg(2) as k:
        emit_sampling(builder, attrs.evolve(plan, x_register=x, k_register=k))
    image = (7,) * (BATCH * ROWS)
    machine = Interpreter(VLEN, 8 + plan.buffer_vectors, spilled(LOGITS))
    machine.run(Program(instructions=tuple(builder.instructions), header=Header(int_mem=(image,))))
    return machine


def spilled(logits: np.ndarray) -> np.ndarray:
    """Logits as they lie in HBM; loads run one row ahead, and behind the last one is something else."""
    rows = logits.shape[1]
    full = np.full((BATCH, rows, CHUNKS * VLEN), 100.0)
    full[:, :, :VOCAB] = logits
    hbm = full.reshape(BATCH, rows, CHUNKS, VLEN).transpose(0, 2, 1, 3).ravel()
    return np.concatenate([hbm, np.ones(VLEN * rows)])


def scores(kind: str) -> np.ndarray:
    p = np.exp(LOGITS - LOGITS.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    if kind == "entropy":
        return (p * np.log(p)).sum(axis=-1)
    largest = np.sort(p, axis=-1)
    return largest[..., -1] - (largest[..., -2] if kind == "margin" else 0)


@pytest.mark.parametrize("kind", ["confidence", "margin", "entropy"])
@pytest.mark.parametrize(("mode", "vectors"), [("rows", 3 * CHUNKS), ("edge", 6)])
def test_scores_are_those_of_numpy(kind: str, mode: str, vectors: int) -> None:
    machine = run(attrs.evolve(PLAN, score=kind, mode=mode, buffer_vectors=vectors))
    want = scores(kind)
    np.testing.assert_allclose(machine.fp[:ROWS], want[-1], rtol=1e-9)
    tokens = np.full((BATCH, ROWS), 7)
    for sequence in range(BATCH):
        best = np.argsort(-want[sequence])[:2]
        tokens[sequence, best] = LOGITS[sequence, best].argmax(axis=-1)
    assert (machine.ints[: BATCH * ROWS].reshape(BATCH, ROWS) == tokens).all()


@pytest.mark.parametrize(("mode", "vectors", "pairs"), [("spill", 4 * CHUNKS, None), ("edge", 6, 3)])
def test_likelihoods_take_the_logarithms_of_all_sums(mode: str, vectors: int, pairs: int | None) -> None:
    plan = attrs.evolve(PLAN, score="likelihood", mode=mode, buffer_vectors=vectors, pairs=pairs)
    machine = run(plan)
    sums = -np.log(np.exp(LOGITS).sum(axis=-1))
    np.testing.assert_allclose(machine.fp[:ROWS], sums[-1], rtol=1e-9)
    word = first_word(plan)
    np.testing.assert_allclose(machine.fp[word : word + BATCH], sums.sum(axis=-1), rtol=1e-9)
    assert machine.fp[word + BATCH] == machine.fp[word : word + BATCH].max()
    assert (machine.ints[: BATCH * ROWS] == 7).all()


@pytest.mark.parametrize("rows", [ROWS, ROWS - 1])
def test_stable_rows_keep_their_probability(rows: int) -> None:
    """Stability is exp(-KL), here from two forwards of which the second starts with what the first left."""
    old, new = LOGITS[:, :rows] + np.random.default_rng(6).normal(0, 0.5, (BATCH, rows, VOCAB)), LOGITS[:, :rows]
    plan = attrs.evolve(
        PLAN, score="stability", mode="rows", rows=rows, buffer_vectors=4 * CHUNKS, x_pitch=rows, pairs=None
    )
    first, second = Builder(), Builder()
    for builder, previous in ((first, -1), (second, 5)):
        emit_masks(builder, plan)
        with builder.reg(0) as x, builder.reg(2) as k:
            emit_sampling(builder, attrs.evolve(plan, x_register=x, k_register=k, previous=previous))
    machine = Interpreter(VLEN, 8 + plan.buffer_vectors, spilled(old))
    machine.run(Program(instructions=tuple(first.instructions)))
    p = [np.exp(x - x.max(axis=-1, keepdims=True)) for x in (old, new)]
    p = [each / each.sum(axis=-1, keepdims=True) for each in p]
    np.testing.assert_allclose(machine.fp[:rows], p[0][-1].max(axis=-1), rtol=1e-9)
    machine.others[5], machine.hbm = machine.hbm, spilled(new)
    machine.run(Program(instructions=tuple(second.instructions)))
    divergence = (p[1] * np.log(p[1] / p[0])).sum(axis=-1)
    assert (divergence > 0.01).all()
    np.testing.assert_allclose(machine.fp[:rows], (p[1].max(axis=-1) * np.exp(-divergence))[-1], rtol=1e-9)


def test_gaps_are_the_distances_of_the_two_largest_logits() -> None:
    machine = run(attrs.evolve(PLAN, mode="rows", gap_rows=3))
    largest = np.sort(LOGITS[-1, :3], axis=-1)
    np.testing.assert_allclose(machine.fp[ROWS + 1 : ROWS + 4], largest[:, -1] - largest[:, -2], rtol=1e-12)
