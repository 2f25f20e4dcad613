"""Sampling variants: the program's tokens, scores and choices against numpy."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

from archsim.errors import WorkloadError
from archsim.isa.program import Header, Program
from archsim.isa.semantics.random import draws
from tests.workloads.sampling_interpreter import Interpreter
from workloads.lowering.emit.builder import Builder
from workloads.lowering.sampling.draw import emit_variant_constants
from workloads.lowering.sampling.online import emit_online_chunks, emit_online_end, emit_online_start
from workloads.lowering.sampling.phase import emit_sampling
from workloads.lowering.sampling.plan import SamplingPlan
from workloads.lowering.sampling.transfer import emit_masks
from workloads.lowering.sampling_variant import SamplingVariant, parse_sampling

VLEN, VOCAB, ROWS, BATCH = 64, 300, 5, 2
CHUNKS = -(-VOCAB // VLEN)
DRAWS, COMMITS = 200, 2
PLAN = SamplingPlan(
    sequences=BATCH, rows=ROWS, vocab=VOCAB, vlen=VLEN, mode="rows", buffer=8, buffer_vectors=3 * CHUNKS + 1, masks=0,
    confidence=BATCH, transfer=BATCH + 1, fp_base=100, x0=100, x_pitch=ROWS, scalars=(1, 2, 3, 4, 5, 6, 7),
    constants=10, draws=DRAWS,
)  # fmt: skip
LOGITS = np.random.default_rng(8).normal(0, 1.5, (BATCH, ROWS, VOCAB))
MASK = 7
"""Token of positions that have not taken one."""


def planned(text: str, **changes: object) -> SamplingPlan:
    variant = parse_sampling(text)
    return attrs.evolve(PLAN, variant=variant, score=variant.score or "confidence", **changes)


def hbm(logits: np.ndarray) -> np.ndarray:
    full = np.full((BATCH, ROWS, CHUNKS * VLEN), 100.0)
    full[:, :, :VOCAB] = logits
    image = full.reshape(BATCH, ROWS, CHUNKS, VLEN).transpose(0, 2, 1, 3).ravel()
    return np.concatenate([image, np.ones(VLEN * ROWS)])  # loads run ahead


def run(plan: SamplingPlan, logits: np.ndarray = LOGITS) -> Interpreter:
    builder = Builder()
    emit_variant_constants(builder, plan.variant, plan.constants)
    emit_masks(builder, plan)
    with builder.reg(0) as x, builder.reg(COMMITS) as k:
        emit_sampling(builder, attrs.evolve(plan, x_register=x, k_register=k))
    machine = Interpreter(VLEN, 8 + plan.buffer_vectors, hbm(logits))
    machine.run(Program(instructions=tuple(builder.instructions), header=Header(int_mem=((MASK,) * BATCH * ROWS,))))
    return machine


def tokens(machine: Interpreter) -> np.ndarray:
    """All sampled tokens, [sequence][row]."""
    return machine.ints[100 : 100 + BATCH * ROWS].reshape(BATCH, ROWS)


def taken(machine: Interpreter) -> np.ndarray:
    """Tokens of the canvas."""
    return machine.ints[: BATCH * ROWS].reshape(BATCH, ROWS)


def softmax(logits: np.ndarray) -> np.ndarray:
    p = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)


def nucleus(p: np.ndarray, share: float) -> np.ndarray:
    """The fewest of the most probable that have this share, by sorting; scaled to 1."""
    order = np.argsort(-p, axis=-1)
    before = np.cumsum(np.take_along_axis(p, order, -1), axis=-1) - np.take_along_axis(p, order, -1)
    kept = np.zeros_like(p)
    np.put_along_axis(kept, order, before < share, -1)
    return p * kept / (p * kept).sum(axis=-1, keepdims=True)


def noise() -> np.ndarray:
    """What V_GUMBEL_V draws: one number a row, in order."""
    rows = [draws(number, CHUNKS, VLEN).ravel()[:VOCAB] for number in range(BATCH * ROWS)]
    return np.array(rows).reshape(BATCH, ROWS, VOCAB)


def chosen(probability: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Canvas after the COMMITS best rows of each sequence took their token."""
    out = np.full((BATCH, ROWS), MASK)
    for sequence in range(BATCH):
        rows = np.argsort(-probability[sequence], kind="stable")[:COMMITS]
        out[sequence, rows] = best[sequence, rows]
    return out


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_gumbel_max_takes_the_token_with_noise_and_its_probability_without(temperature: float) -> None:
    machine = run(planned(f"temperature={temperature}"))
    best = (LOGITS + temperature * noise()).argmax(axis=-1)
    assert (best != LOGITS.argmax(axis=-1)).any()
    assert (tokens(machine) == best).all()
    p = np.take_along_axis(softmax(LOGITS), best[..., None], -1)[..., 0]
    np.testing.assert_allclose(machine.fp[100 : 100 + ROWS], p[-1], rtol=1e-6)
    assert (taken(machine) == chosen(p, best)).all()


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_top_p_keeps_what_sorting_keeps(share: float) -> None:
    # Steps of 0.02 between logits, above the resolution of the bisection.
    grid = np.argsort(np.random.default_rng(9).random((BATCH, ROWS, VOCAB)), axis=-1) * -0.02
    machine = run(planned(f"temperature=1,top-p={share}"), grid)
    kept = nucleus(softmax(grid), share)
    assert 10 < np.count_nonzero(kept[0, 0]) < VOCAB / 2
    with np.errstate(divide="ignore"):
        best = (np.log(kept) + noise()).argmax(axis=-1)
    assert (best != grid.argmax(axis=-1)).any()
    assert (tokens(machine) == best).all()
    p = np.take_along_axis(kept, best[..., None], -1)[..., 0]
    np.testing.assert_allclose(machine.fp[100 : 100 + ROWS], p[-1], rtol=1e-6)


def test_top_p_without_noise_makes_the_best_token_more_probable() -> None:
    machine = run(planned("top-p=0.5"))
    assert (tokens(machine) == LOGITS.argmax(axis=-1)).all()
    np.testing.assert_allclose(machine.fp[100 : 100 + ROWS], nucleus(softmax(LOGITS), 0.5).max(axis=-1)[-1], rtol=1e-6)


@pytest.mark.parametrize("score", ["margin", "entropy"])
def test_scores_are_those_of_the_kept_tokens_and_tokens_are_drawn(score: str) -> None:
    machine = run(planned(f"{score},temperature=0.5,top-p=0.75"))
    kept = nucleus(softmax(LOGITS), 0.75)
    with np.errstate(divide="ignore", invalid="ignore"):
        best = (np.log(kept) + 0.5 * noise()).argmax(axis=-1)
        entropy = np.nansum(kept * np.log(kept), axis=-1)
    largest = np.sort(kept, axis=-1)
    want = entropy if score == "entropy" else largest[..., -1] - largest[..., -2]
    assert (tokens(machine) == best).all()
    np.testing.assert_allclose(machine.fp[100 : 100 + ROWS], want[-1], rtol=1e-6)
    assert (taken(machine) == chosen(want, best)).all()


def test_random_remasking_draws_rows_and_sums_nothing() -> None:
    machine = run(planned("random"))
    best = LOGITS.argmax(axis=-1)
    luck = np.array([draws(sequence, 1, VLEN)[0, :ROWS] for sequence in range(BATCH)])
    assert (taken(machine) == chosen(luck, best)).all()
    assert machine.executed["V_EXP_V"] == machine.executed["V_RED_SUM"] == 0
    assert machine.ints[DRAWS] == BATCH


def test_random_rows_of_drawn_tokens_need_no_sums_either() -> None:
    machine = run(planned("random,temperature=1"))
    assert machine.executed["V_RED_SUM"] == 0
    assert machine.ints[DRAWS] == BATCH * ROWS + BATCH


def shaped(probabilities: list[list[float]]) -> np.ndarray:
    """Logits whose largest probability is given, at token 10 x row + 1."""
    out = np.zeros((BATCH, ROWS, VOCAB))
    for sequence, row in enumerate(probabilities):
        for index, p in enumerate(row):
            out[sequence, index, 10 * index + 1] = np.log(p * (VOCAB - 1) / (1 - p))
    return out


def passing(rows: list[list[bool]]) -> np.ndarray:
    return np.where(np.array(rows), 10 * np.arange(ROWS) + 1, MASK)


T, F = True, False


def test_threshold_takes_all_that_reach_it_or_else_the_best() -> None:
    logits = shaped([[0.95, 0.5, 0.91, 0.7, 0.89], [0.3, 0.2, 0.6, 0.6 - 1e-6, 0.1]])
    machine = run(planned("threshold=0.90234375"), logits)  # a number of BF16
    assert (taken(machine) == passing([[T, F, T, F, F], [F, F, T, F, F]])).all()


def test_factor_takes_the_longest_run_of_the_best_that_passes() -> None:
    # Sequence 0 in order .95 .91 .7 .6: (n + 1)(1 - c) is .1 .27 1.2; sequence 1 passes nothing but takes one.
    logits = shaped([[0.7, 0.95, 0.3, 0.91, 0.6], [0.3, 0.2, 0.25, 0.1, 0.45]])
    machine = run(planned("factor=1"), logits)
    assert (taken(machine) == passing([[F, T, F, T, F], [F, F, F, F, T]])).all()
    machine = run(planned("factor=1.25"), logits)
    assert (taken(machine) == passing([[T, T, F, T, F], [F, F, F, F, T]])).all()


@pytest.mark.parametrize("seed", range(4))
def test_factor_on_random_confidences_agrees_with_the_rule(seed: int) -> None:
    values = np.random.default_rng(seed).uniform(0.5, 0.999, (BATCH, ROWS))
    machine = run(planned("factor=1"), shaped(values.tolist()))
    for sequence, row in enumerate(values):
        order = np.argsort(-row)
        passed = [(n + 1) * (1 - row[place]) <= 1 for n, place in enumerate(order, start=1)]
        count = max(1, passed.index(False) if False in passed else ROWS)
        want = [[place in order[:count] for place in range(ROWS)]]
        assert (taken(machine)[sequence] == passing(want)[0]).all()


@pytest.mark.parametrize(("mode", "vectors"), [("spill", 4 * CHUNKS), ("edge", 4), ("onchip", BATCH * ROWS * CHUNKS)])
@pytest.mark.parametrize("text", ["random", "threshold=0.5", "factor=1"])
def test_rows_are_chosen_alike_wherever_the_logits_are(mode: str, vectors: int, text: str) -> None:
    logits = shaped(np.random.default_rng(3).uniform(0.2, 0.99, (BATCH, ROWS)).tolist())
    plan = planned(text, mode=mode, buffer_vectors=vectors, group_rows=2)
    if mode != "onchip":
        assert (taken(run(plan, logits)) == taken(run(planned(text), logits))).all()
        return
    builder = Builder()
    emit_variant_constants(builder, plan.variant, plan.constants)
    emit_masks(builder, plan)
    with builder.reg(0) as x, builder.reg(COMMITS) as k:
        emit_sampling(builder, attrs.evolve(plan, x_register=x, k_register=k))
    machine = on_chip(builder, plan, logits)
    assert (taken(machine) == taken(run(planned(text), logits))).all()


def on_chip(builder: Builder, plan: SamplingPlan, logits: np.ndarray) -> Interpreter:
    machine = Interpreter(VLEN, 8 + plan.buffer_vectors, np.zeros(1))
    full = np.full((BATCH * ROWS, CHUNKS * VLEN), 100.0)
    full[:, :VOCAB] = logits.reshape(BATCH * ROWS, VOCAB)
    chunks = full.reshape(BATCH * ROWS, CHUNKS, VLEN).transpose(1, 0, 2).ravel()
    machine.vectors[8 * VLEN : 8 * VLEN + chunks.size] = chunks
    machine.run(Program(instructions=tuple(builder.instructions), header=Header(int_mem=((MASK,) * BATCH * ROWS,))))
    return machine


@pytest.mark.parametrize("text", ["threshold=0.5", "factor=1"])
def test_a_single_pass_chooses_alike(text: str) -> None:
    logits = shaped(np.random.default_rng(3).uniform(0.2, 0.99, (BATCH, ROWS)).tolist())
    plan = planned(text, buffer_vectors=BATCH * ROWS * CHUNKS)
    builder = Builder()
    emit_variant_constants(builder, plan.variant, plan.constants)
    emit_masks(builder, plan)
    emit_online_start(builder, plan)
    emit_online_chunks(builder, plan, 0, CHUNKS, 8)
    with builder.reg(0) as x, builder.reg(COMMITS) as k:
        emit_online_end(builder, attrs.evolve(plan, x_register=x, k_register=k))
    assert (taken(on_chip(builder, plan, logits)) == taken(run(planned(text), logits))).all()


def test_greedy_decoding_draws_tokens_and_nothing_else() -> None:
    machine = run(planned("temperature=1", greedy=True))
    assert (tokens(machine) == (LOGITS + noise()).argmax(axis=-1)).all()
    assert machine.executed["V_EXP_V"] == machine.executed["V_TOPK_MASK"] == 0


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("warm", "'warm'; expected confidence, margin"),
        ("temperature=hot", "temperature=hot; expected a number from 0 to 64"),
        ("temperature=nan", "temperature=nan; expected"),
        ("top-p=0", "top-p=0; expected a number above 0, at most 1"),
        ("top-p=1.5", "top-p=1.5; expected"),
        ("chunk=0", "'chunk=0'; expected"),
        ("margin,entropy", "'entropy' is the second of its kind; expected one"),
        ("entropy,threshold=0.9", "threshold of entropy; expected confidence, or top-k"),
        ("threshold", "'threshold'; expected"),
        ("", "''; expected"),
    ],
)
def test_what_cannot_be_is_refused(text: str, found: str) -> None:
    with pytest.raises(WorkloadError) as caught:
        parse_sampling(text)
    assert found in str(caught.value)


def test_words_say_what_they_are() -> None:
    assert parse_sampling("confidence,top-k") == SamplingVariant(score="confidence")
    assert parse_sampling("entropy, temperature=0.2, top-p=0.9, chunk=4096") == SamplingVariant(
        score="entropy", temperature=0.2, top_p=0.9, chunk=4096
    )
    assert parse_sampling("factor=1") == SamplingVariant(select="factor", level=1.0)


@pytest.mark.parametrize("text", ["margin", "factor=1.5", "random,temperature=0.5,top-p=0.9", "threshold=0.9,chunk=64"])
def test_a_variant_prints_as_the_words_for_it(text: str) -> None:
    assert str(parse_sampling(text)) == text


@pytest.mark.parametrize("mode", ["spill", "onchip", "edge"])
@pytest.mark.parametrize(("text", "what"), [("temperature=1", "tokens drawn by chance"), ("top-p=0.9", "top-p")])
def test_draws_need_whole_rows_one_at_a_time(mode: str, text: str, what: str) -> None:
    with pytest.raises(WorkloadError, match=f"sampling, {mode}: {what}; expected logits spilled"):
        run(planned(text, mode=mode, buffer_vectors=400))
