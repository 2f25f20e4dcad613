"""The trained tiny model: its answers, and the tokens of its programs."""

from __future__ import annotations

import random

import numpy as np
import pytest

from workloads.tiny.checkpoint import Checkpoint, fold, load_checkpoint, with_outliers
from workloads.tiny.program import FLOAT_OPTIONS, Run, run_program
from workloads.tiny.reference import CACHES, Reference, generate
from workloads.tiny.tasks import ANSWER, PROMPT, VOCAB, Example, decode, encode, example, held_out, held_out_set


@pytest.fixture(scope="module")
def trained() -> Checkpoint:
    return load_checkpoint()


def ids_of(examples: list[Example]) -> np.ndarray:
    return np.array([one.prompt_ids for one in examples])


def test_held_out_additions_are_right(trained: Checkpoint) -> None:
    examples = [one for one in held_out_set(120, 7) if one.task == "addition"]
    canvas, _ = generate(Reference(trained), ids_of(examples), gen=ANSWER, block=8, steps=16, cache="dual")
    right = [decode(row[PROMPT:]) == one.answer for row, one in zip(canvas.tolist(), examples, strict=True)]
    assert np.mean(right) >= 0.95


@pytest.mark.parametrize("cache", CACHES)
def test_programs_commit_the_tokens_of_the_reference(trained: Checkpoint, cache: str) -> None:
    ids = ids_of(held_out_set(8, 3))
    wanted, _ = generate(Reference(trained), ids, gen=ANSWER, block=8, steps=16, cache=cache)
    found = run_program(trained, ids, Run(cache=cache), FLOAT_OPTIONS, chip="fp32")
    assert found.tolist() == wanted.tolist()


def test_outlier_variant_is_the_same_model(trained: Checkpoint) -> None:
    ids = ids_of(held_out_set(4, 5))
    plain, changed = (Reference(fold(c)).forward(ids, 0, slice(0, PROMPT)) for c in (trained, with_outliers(trained)))
    np.testing.assert_allclose(changed, plain, atol=1e-4)


def test_weights_are_bf16() -> None:
    for weight in load_checkpoint().weights.values():
        assert not (weight.view(np.uint32) & 0xFFFF).any()


def test_examples_say_what_they_ask() -> None:
    rng = random.Random(0)
    for _ in range(50):
        one = example("addition", rng, test=True)
        _, first, second = one.prompt.split("+")
        assert int(first) + int(second) == int(one.answer)
        assert held_out(int(first), int(second))
        trained_on = example("addition", rng, test=False).prompt
        assert not held_out(int(trained_on[1:4]), int(trained_on[5:8]))
        letters = example("sorting", rng, test=False)
        assert sorted(letters.prompt[1:]) == list(letters.answer)
        word = example("infilling", rng, test=False)
        assert all(a in (b, ".") for a, b in zip(word.prompt[1:], word.answer, strict=True))
        for each in (one, letters, word):
            assert len(each.prompt_ids) == PROMPT
            assert len(each.answer_ids) == ANSWER
            assert max(each.prompt_ids + each.answer_ids) < VOCAB - 1
            assert decode(each.answer_ids) == each.answer


def test_text_survives_encoding() -> None:
    assert encode("a1", 4) == [10, 1, 62, 62]
    assert decode([10, 1, 63, 62, 5]) == "a1_"
