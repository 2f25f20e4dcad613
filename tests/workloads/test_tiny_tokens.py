"""Programs commit the tokens that the plain numpy model and sampler commit."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

from archsim import load_machine
from archsim.errors import WorkloadError
from workloads.lowering.generation import lower
from workloads.lowering.image import image, key_masks
from workloads.lowering.options import LoweringOptions
from workloads.lowering.plan.machine_view import view_of
from workloads.models import load_model
from workloads.schedules import build_schedule
from workloads.tiny.checkpoint import Checkpoint, fold, random_checkpoint, with_outliers
from workloads.tiny.program import FLOAT_OPTIONS, Run, memory_image, numerics_of, run_program, tiny_program
from workloads.tiny.reference import CACHES, FLOAT, Numerics, Reference, choose, generate
from workloads.tiny.tasks import MASK

MX = LoweringOptions(weights="mxint8", kv="mxint8", acts="mxint8", kv_scheme="rtn")
BAOS = LoweringOptions(weights="mxint8", kv="mxint4", acts="mxint8", kv_scheme="baos")
KIVI = LoweringOptions(weights="mxint8", kv="int4_asymmetric", acts="mxint8", kv_scheme="kivi")
BF16 = LoweringOptions(weights="bf16", kv="bf16", acts="bf16", logits_format="bf16", kv_scheme="none")


@pytest.fixture(scope="module")
def untrained() -> Checkpoint:
    return random_checkpoint(1)


def prompts(count: int, length: int = 16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, MASK, (count, length))


def agree(checkpoint: Checkpoint, run: Run, options: LoweringOptions, chip: str, count: int) -> None:
    ids = prompts(count, run.prompt)
    numerics = numerics_of(options, chip)
    model = Reference(checkpoint if numerics == FLOAT else fold(checkpoint), numerics)
    wanted, _ = generate(model, ids, gen=run.gen, block=run.block, steps=run.steps, cache=run.cache)
    found = run_program(checkpoint, ids, run, options, chip=chip)
    assert found.tolist() == wanted.tolist()
    assert not (found == MASK).any()


@pytest.mark.parametrize("cache", CACHES)
def test_tokens_of_untrained_weights_in_fp32(untrained: Checkpoint, cache: str) -> None:
    agree(untrained, Run(cache=cache, batch=4), FLOAT_OPTIONS, "fp32", 4)


@pytest.mark.parametrize("options", [MX, BAOS, KIVI, BF16], ids=["mx", "baos", "kivi", "bf16"])
def test_tokens_of_untrained_weights_in_few_bits(untrained: Checkpoint, options: LoweringOptions) -> None:
    agree(untrained, Run(cache="dual", batch=4), options, "bf16", 4)


def test_tokens_where_lengths_fill_no_tile_and_steps_commit_several(untrained: Checkpoint) -> None:
    """45 positions are two key tiles, of which the second holds 13; 5 tokens in 2 steps are 3 and 2."""
    run = Run(prompt=35, gen=10, block=5, steps=4, cache="prefix", batch=3)
    agree(untrained, run, FLOAT_OPTIONS, "fp32", 4)
    agree(untrained, run, attrs.evolve(FLOAT_OPTIONS, kv="int4_asymmetric", kv_scheme="kivi"), "fp32", 3)


def test_formats_make_a_difference(untrained: Checkpoint) -> None:
    """The comparisons above would notice if a format were ignored."""
    logits = []
    ids = prompts(2)
    for numerics in (FLOAT, *(numerics_of(options, "bf16") for options in (MX, BAOS, KIVI, BF16))):
        logits.append(Reference(fold(untrained), numerics).forward(ids, 0, slice(0, 16)))
    for index, one in enumerate(logits):
        for other in logits[:index]:
            assert np.abs(one - other).max() > 1e-3


@pytest.mark.parametrize("change", [fold, with_outliers])
def test_rewritten_weights_are_the_same_model(untrained: Checkpoint, change) -> None:
    ids = prompts(2)
    before, after = (Reference(c).forward(ids, 0, slice(0, 16)) for c in (untrained, change(untrained)))
    np.testing.assert_allclose(after, before, atol=2e-4)
    assert any((untrained.weights[name] != change(untrained).weights[name]).any() for name in untrained.weights)


def test_outlier_keys_are_larger(untrained: Checkpoint) -> None:
    plain, changed = (c["layers.0.k"] for c in (untrained, with_outliers(untrained)))
    sizes = np.abs(changed).max(axis=1) / np.abs(plain).max(axis=1)
    assert sorted(set(sizes.tolist())) == [1.0, 32.0]
    assert (sizes == 32).reshape(4, 32).sum(axis=1).tolist() == [6] * 4


def test_choices_take_the_most_confident_masked_rows() -> None:
    model = Reference(random_checkpoint(0, layers=1))
    logits = np.log(np.array([[[8, 1, 1], [1, 2, 1], [9, 1, 0.5], [1, 1, 6]]], np.float32))
    masked = np.array([[True, True, False, True]])
    choice = choose(model, logits, masked, 2)
    assert choice.tokens.tolist() == [[0, 1, 0, 2]]
    np.testing.assert_allclose(choice.confidence, [[0.8, 0.5, 9 / 10.5, 0.75]], rtol=1e-6)
    assert choice.taken.tolist() == [[True, False, False, True]]


def test_gap_counts_units_in_the_last_place() -> None:
    one = np.float32(1)
    logits = np.array([[[one, one - 4 * np.spacing(one), -1]]], np.float32)
    choice = choose(Reference(random_checkpoint(0, layers=1), Numerics()), logits, np.ones((1, 1), bool), 1)
    assert choice.gap.tolist() == [[4.0]]


def test_masks_of_a_key_tile() -> None:
    run = Run(prompt=3, gen=4, block=4, steps=4)
    _, layout = tiny_program(random_checkpoint(0, layers=1), run, FLOAT_OPTIONS, "tiny")
    masks = key_masks(layout)
    assert masks.shape == (32, 256)
    assert (masks[6].reshape(8, 32) == 0).sum(axis=1).tolist() == [7] * 8


def test_what_an_image_refuses() -> None:
    checkpoint = random_checkpoint(0, layers=1)
    _, layout = tiny_program(checkpoint, Run(batch=2), FLOAT_OPTIONS, "tiny")
    with pytest.raises(WorkloadError, match=r"canvases: shape \(3, 32\); expected \(2, 32\), sequences and tokens"):
        memory_image(layout, checkpoint, prompts(3))
    canvases = np.full((2, 32), MASK)
    weights = dict(checkpoint.weights)
    del weights["layers.0.up.weight"]
    with pytest.raises(WorkloadError, match=r"weights: no layers\.0\.up\.weight; expected one of embedding\.weight"):
        image(layout, weights, canvases)
    weights["layers.0.up.weight"] = np.zeros((900, 128), np.float32)
    with pytest.raises(WorkloadError, match=r"weights: layers\.0\.up\.weight of shape \(900, 128\); expected at most"):
        image(layout, weights, canvases)
    weights = checkpoint.weights | {"layers.0.k.weight": np.zeros((100, 128), np.float32)}
    with pytest.raises(WorkloadError, match=r"layers\.0\.k\.weight of shape \(100, 128\); expected \(128, 128\)"):
        image(layout, weights, canvases)
    weights = dict(checkpoint.weights)
    weights["head.weight"] = weights["head.weight"].copy()
    weights["head.weight"][2, 5] = np.nan
    with pytest.raises(WorkloadError, match=r"weights: head\.weight\[2, 5\] is nan; expected finite numbers"):
        image(layout, weights, canvases)
    canvases[1, 30] = 64
    with pytest.raises(WorkloadError, match=r"canvases: token 64 at \[1, 30\]; expected 0\.\.63"):
        image(layout, checkpoint.weights, canvases)


def test_scales_by_channel_need_key_tiles_of_whole_groups() -> None:
    params = load_machine("tiny")
    view = view_of(attrs.evolve(params, core=attrs.evolve(params.core, hlen=16)))
    model = load_model("llada-8b").shrunk(layers=1, vocab=96, hidden=128, heads=8, kv_heads=8, head_dim=16, ffn=256)
    schedule = build_schedule("llada", cache="dual", prompt=32, gen=32, block=32, steps=4)
    with pytest.raises(WorkloadError, match=r"key tiles of 16 positions, .*; expected multiples of the 32"):
        lower(model, schedule, view, KIVI)
