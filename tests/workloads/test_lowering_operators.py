"""Layers whose operators take different rows: how many rows are stored, kept and loaded, by layer."""

from __future__ import annotations

import attrs
import pytest

from archsim.errors import WorkloadError
from archsim.isa.program import Program
from tests.workloads.small_view import MODEL, SMALL
from tests.workloads.walk import Step, walk
from workloads.forwards import Forward, Window
from workloads.lowering.generation import lower
from workloads.schedules import build_schedule

LAYERS = MODEL.layers
PROMPT, GEN = 24, 32
CANVAS, CHANGED = PROMPT + GEN, GEN // 4
OPTIONS: dict[str, dict[str, int]] = {
    "dllm-cache": {"prompt_interval": 4, "gen_interval": 3},
    "dare": {},
}


def made(name: str, index: int) -> tuple[Program, Forward]:
    """A program of one forward."""
    schedule = build_schedule(name, prompt=PROMPT, gen=GEN, block=16, steps=8, **OPTIONS[name])
    window = Window(index, index + 1)
    return lower(MODEL, schedule, SMALL, window=window), next(window.select(schedule.forwards()))


def rows_of(steps: list[Step], mnemonic: str, state: str) -> int:
    return sum(step.state[state][0] for step in steps if step.mnemonic == mnemonic)


def kept_rows(program: Program, mnemonic: str) -> int:
    """Rows of outputs that are stored or loaded."""
    place = next(region["base"] for region in program.header.regions if region["name"] == "kept_outputs")
    return sum(
        step.state["h_rows"][0]
        for step in walk(program)
        if step.mnemonic == mnemonic and step.operands["rs2"] == place
    )


@pytest.mark.parametrize(
    ("index", "sent", "values"),
    [
        (0, CANVAS, CANVAS),
        (1, CHANGED, GEN),
        (3, GEN, GEN),
        (4, PROMPT + CHANGED, CANVAS),
    ],
)
def test_dllm_cache_stores_and_reuses_as_its_rows_say(index: int, sent: int, values: int) -> None:
    program, forward = made("dllm-cache", index)
    assert forward.operators is not None
    assert (forward.operators.key, forward.operators.value) == (sent, values)
    steps = list(walk(program))
    others = LAYERS - 1
    assert rows_of(steps, "K_STORE", "v_rows") == 2 * CANVAS + others * (sent + values)
    # Outputs of attention and of the MLP.
    assert kept_rows(program, "H_STORE_V") == others * 2 * sent
    assert kept_rows(program, "H_PREFETCH_V") == others * 2 * (CANVAS - sent)
    chosen = sum(step.mnemonic == "V_TOPK_MASK" for step in steps) - 1  # one of them commits tokens
    assert chosen == (others if forward.operators.compared else 0)


def test_dare_keeps_outputs_of_attention_and_all_queries() -> None:
    program, forward = made("dare", 1)
    assert forward.operators is not None
    steps, others, half = list(walk(program)), LAYERS - 1, CANVAS // 2
    assert rows_of(steps, "K_STORE", "v_rows") == 2 * CANVAS + others * 2 * half
    assert kept_rows(program, "H_STORE_V") == others * (half + CANVAS)
    assert kept_rows(program, "H_PREFETCH_V") == others * (half + CANVAS)


def test_ideal_work_is_less_than_that_of_all_rows() -> None:
    whole, part = (made("dllm-cache", index)[0].header.ideal["total"] for index in (0, 1))
    for amount in ("tensor_cycles", "vector_cycles"):
        assert part[amount] < whole[amount]
    assert part["tensor_cycles"] > whole["tensor_cycles"] / LAYERS  # the first layer sends all rows


def test_layers_that_send_nothing_are_refused() -> None:
    schedule = build_schedule("dllm-cache", prompt=PROMPT, gen=GEN, block=16, steps=8, transfer_ratio=0.0)
    with pytest.raises(WorkloadError, match="layers that send no rows; expected at least one row"):
        lower(MODEL, schedule, SMALL)


def test_several_cores_are_refused() -> None:
    schedule = build_schedule("dare", prompt=PROMPT, gen=GEN, block=16, steps=8)
    with pytest.raises(WorkloadError, match="expected one sequence on one core"):
        lower(MODEL, schedule, attrs.evolve(SMALL, cores=2))


def test_the_room_that_all_rows_take_at_once_is_named() -> None:
    schedule = build_schedule("dllm-cache", prompt=PROMPT, gen=GEN, block=16, steps=8)
    with pytest.raises(WorkloadError, match=r"needs \d+ vectors of Vector SRAM for all of them at once") as error:
        lower(MODEL, schedule, attrs.evolve(SMALL, vector_vectors=400))
    needed, most = (int(word) for word in str(error.value).split() if word.isdigit() and int(word) > 100)
    assert needed > most == 400
    lower(MODEL, schedule, attrs.evolve(SMALL, vector_vectors=needed))
