"""Programs of forwards whose rows vary, stand anywhere, or meet no LM head, checked by walking them."""

from __future__ import annotations

from collections import Counter

import attrs
import pytest

from archsim.errors import WorkloadError
from tests.workloads.cases import case
from tests.workloads.small_view import SMALL, shrunk
from tests.workloads.streams import fetches_weights, tensor_cycles
from tests.workloads.walk import Step
from workloads.lowering.generation import lower
from workloads.lowering.options import LoweringOptions
from workloads.lowering.plan.classes import classify
from workloads.schedules import build_schedule

LAYERS, GROUPS = 2, 1
MODEL = shrunk(LAYERS)
CASES = {
    name: case(name, MODEL, prompt=16, **options)
    for name, options in {
        "dream": {"gen": 24},
        "fast-dllm-dream": {"gen": 48, "block": 24},
        "dkv-decode": {"gen": 48, "block": 16},
        "dkv-greedy": {"gen": 48, "block": 16, "steps": 24},
        "window-diffusion": {"gen": 64, "window_tokens": 32, "active_tokens": 20, "refresh_cycle": 16},
        "daedal": {"initial_gen": 16, "max_gen": 160, "expansion_factor": 4, "stage1_forwards": 24, "mean": 8.0},
        "bd3lm": {"gen": 32, "block": 16},
    }.items()
}
every_case = pytest.mark.parametrize("name", CASES)


def rows_of(steps: list[Step], mnemonic: str, state: str) -> list[int]:
    return [step.state[state][0] for step in steps if step.mnemonic == mnemonic]


@every_case
def test_each_forward_sends_its_own_rows(name: str) -> None:
    for forward, steps in zip(CASES[name].forwards, CASES[name].steps, strict=True):
        assert set(rows_of(steps, "H_GATHER_V", "h_rows")) == {forward.q_rows}
        stored = rows_of(steps, "K_STORE", "v_rows")
        assert sum(stored) == forward.write_rows * 2 * GROUPS * LAYERS
        assert set(rows_of(steps, "V_ROT_SEG", "v_rows")) <= set(range(1, SMALL.blen + 1))


@every_case
def test_each_forward_samples_its_own_rows(name: str) -> None:
    for forward, steps in zip(CASES[name].forwards, CASES[name].steps, strict=True):
        chosen = [step.operands for step in steps if step.mnemonic == "V_TOPK_MASK"]
        if forward.head_rows == 0:
            assert chosen == []
            continue
        (found,) = chosen
        assert found["k"] == forward.committed
        assert found["rlen"] == forward.sampled_rows
        read = sum(step.mnemonic == "V_RED_MAX_IDX" for step in steps)
        assert forward.sampled_rows <= read <= forward.sampled_rows + 1


@every_case
def test_tile_cycles_and_bytes_are_close_to_the_ideal(name: str) -> None:
    made = CASES[name].program
    ideal = made.header.ideal["total"]
    assert ideal["tensor_cycles"] <= tensor_cycles(made) <= 1.10 * ideal["tensor_cycles"]


def test_programs_do_not_grow_with_the_number_of_row_counts() -> None:
    short, long = (
        lower(MODEL, build_schedule("dream", prompt=16, gen=gen), attrs.evolve(SMALL, blen=128)) for gen in (30, 60)
    )
    assert len({forward["head_rows"] for forward in long.header.forwards}) > 50
    assert len(long.instructions) < 1.2 * len(short.instructions)


def test_rows_that_stand_alone_are_stored_one_by_one_and_the_others_as_a_run() -> None:
    forwards = CASES["dkv-decode"].forwards
    index = next(forward.index for forward in forwards if forward.scattered)
    sizes = Counter(rows_of(CASES["dkv-decode"].steps[index], "K_STORE", "v_rows"))
    each = 2 * GROUPS * LAYERS
    assert sizes == {1: 16 * each, forwards[index].q_rows - 16: each}


def test_scattered_rows_lie_in_the_cache_and_differ() -> None:
    made = CASES["window-diffusion"].program
    forwards = CASES["window-diffusion"].forwards
    index = next(forward.index for forward in forwards if forward.scattered)
    offsets = [step.operands["rs1"] for step in CASES["window-diffusion"].steps[index] if step.mnemonic == "K_STORE"]
    assert len(set(offsets)) == forwards[index].q_rows * 2 * GROUPS  # the same in every layer
    region = next(region for region in made.header.regions if region["name"] == "kv_cache")
    assert max(offsets) // 2 < region["bytes"]


def test_a_forward_without_lm_head_is_followed_by_the_first_layer() -> None:
    stores = [i for i, forward in enumerate(CASES["bd3lm"].forwards) if forward.kind == "store"]
    made = CASES["bd3lm"].program
    head = next(region for region in made.header.regions if region["name"] == "lm_head")
    for index in stores:
        weights = [step.operands["rs2"] for step in CASES["bd3lm"].steps[index] if fetches_weights(step)]
        assert weights
        assert head["base"] not in weights


@pytest.mark.parametrize("logits", ["onchip", "online"])
def test_scores_that_need_all_logits_again_are_refused_without_them(logits: str) -> None:
    with pytest.raises(WorkloadError, match="entropy"):
        lower(MODEL, CASES["dream"].schedule, SMALL, LoweringOptions(logits=logits))


@pytest.mark.parametrize("key_block", [0, 8])
def test_passes_that_choose_no_blocks_are_refused(key_block: int) -> None:
    forward = attrs.evolve(CASES["dream"].forwards[0], score_passes=1, key_block=key_block)
    with pytest.raises(WorkloadError, match="forward 0: score_passes is 1; expected a key_block and chosen_blocks"):
        classify(forward, SMALL.hlen)
