"""Sampling variants in whole programs: values on the tiny model, and what each costs in its phase."""

from __future__ import annotations

import itertools

import attrs
import numpy as np
import pytest

import archsim
from archsim.errors import WorkloadError
from workloads.lowering.generation import lower
from workloads.lowering.options import LoweringOptions
from workloads.lowering.plan.machine_view import view_of
from workloads.lowering.sampling_variant import parse_sampling
from workloads.models import load_model
from workloads.schedules import build_schedule
from workloads.study.sampling_cost import VARIANTS, cost, cost_lines
from workloads.tiny.checkpoint import Checkpoint, random_checkpoint
from workloads.tiny.program import FLOAT_OPTIONS, Run, run_program
from workloads.tiny.tasks import MASK

RUN = Run(cache="dual", batch=2)
AT_ONCE = attrs.evolve(RUN, steps=2)
"""A forward decides all of a block, in whatever order."""
SMALL = load_model("llada-8b").shrunk(layers=1, hidden=512, heads=4, kv_heads=4, ffn=512, vocab=4000)
# Prompts whose best two logits are never nearer than the 1/256 that top-p can tell apart.
IDS = np.random.default_rng(1).integers(0, MASK, (2, RUN.prompt))


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return random_checkpoint(1)


def generated(checkpoint: Checkpoint, text: str, run: Run = RUN, seed: int = 0) -> np.ndarray:
    options = attrs.evolve(FLOAT_OPTIONS, sampling=parse_sampling(text), seed=seed)
    return run_program(checkpoint, IDS, run, options, chip="fp32")


@pytest.mark.parametrize("text", ["temperature=0.0001", "temperature=1,top-p=0.0001", "top-p=0.9", "chunk=64"])
def test_variants_that_leave_the_best_token_generate_what_greedy_does(checkpoint: Checkpoint, text: str) -> None:
    assert generated(checkpoint, text, AT_ONCE).tolist() == generated(checkpoint, "confidence", AT_ONCE).tolist()


@pytest.mark.parametrize("text", ["temperature=1", "random", "entropy,temperature=0.5,top-p=0.9"])
def test_draws_repeat_with_the_seed_and_differ_between_seeds(checkpoint: Checkpoint, text: str) -> None:
    first = generated(checkpoint, text)
    assert not (first == MASK).any()
    assert first.tolist() == generated(checkpoint, text).tolist()
    assert first.tolist() != generated(checkpoint, text, seed=1).tolist()


def test_a_low_threshold_commits_a_block_at_once(checkpoint: Checkpoint) -> None:
    """Every row passes, so that the first forward of a block decides all of it."""
    found = generated(checkpoint, "threshold=0.0001")
    assert found.tolist() == generated(checkpoint, "confidence", AT_ONCE).tolist()
    assert found.tolist() != generated(checkpoint, "confidence").tolist()


def test_costs_are_ordered_as_the_work_is() -> None:
    rows = {text: cost(SMALL, "edge-256", text) for text in ("", "random", "margin", "temperature=1", "top-p=0.9")}
    cycles = {text: row.sampling_ps for text, row in rows.items()}
    assert cycles["random"] < cycles[""] < cycles["margin"] < cycles["temperature=1"] < cycles["top-p=0.9"]
    assert all(row.head_ps > 0 for row in rows.values())


def test_variants_of_the_study_are_ones_that_can_be_read() -> None:
    assert len({parse_sampling(words) for _, words, _ in VARIANTS if words}) >= 9


@pytest.mark.parametrize("logits", ["onchip", "online"])
def test_cores_that_share_the_vocabulary_meet_in_memory(logits: str) -> None:
    with pytest.raises(WorkloadError, match=rf"option logits: {logits}: each of 4 cores has some .* expected spill"):
        cost(load_model("llada-8b").shrunk(layers=1), "quad-mesh", logits=logits)


def test_the_study_says_why_a_row_is_missing() -> None:
    _, heading, first, second = itertools.islice(cost_lines(SMALL, "quad-mesh"), 4)
    assert heading.startswith("variant")
    assert first.startswith(VARIANTS[0][0])
    assert "expected" not in first
    assert "--logits onchip" in second
    assert "expected spill" in second


@pytest.mark.parametrize("logits", ["onchip", "online"])
@pytest.mark.parametrize("words", ["chunk=256", "temperature=1", "margin"])
def test_what_needs_logits_in_memory_is_refused_without(logits: str, words: str) -> None:
    view = view_of(archsim.load_machine("edge-256"))
    schedule = build_schedule("llada", prompt=8, gen=4, block=4)
    with pytest.raises(WorkloadError, match=r"expected .*spill"):
        lower(SMALL, schedule, view, LoweringOptions(logits=logits, sampling=parse_sampling(words)))


def test_random_remasking_of_a_schedule_is_cheaper_than_by_confidence() -> None:
    machine = archsim.load_machine("edge-256")
    times = {}
    for remasking in ("low_confidence", "random"):
        schedule = build_schedule("llada", prompt=8, gen=4, block=4, steps=1, remasking=remasking)
        result = archsim.simulate(lower(SMALL, schedule, view_of(machine)), machine)
        times[remasking] = sum(phase.time_ps for phase in result.phases if phase.name.endswith("sampling"))
    assert times["random"] < 0.8 * times["low_confidence"]
