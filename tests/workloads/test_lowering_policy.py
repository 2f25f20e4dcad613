"""Programs in which a network behind sampling chooses the rows, checked by walking them."""

from __future__ import annotations

import attrs
import pytest

from archsim.errors import WorkloadError
from tests.workloads.cases import case, scripted, with_first
from tests.workloads.small_view import MODEL, SMALL
from tests.workloads.streams import tensor_cycles, used_regions
from tests.workloads.walk import Step, walk
from workloads.lowering.generation import lower
from workloads.lowering.options import LoweringOptions

TILE = 256 * 16
"""Weights of a tile, of which every row of the hidden width takes one."""
CASES = {
    "ni-sampling": case("ni-sampling", prompt=16, gen=48, block=16, mean=2.0, policy_parameters=40 * TILE - 5),
    "learned-policy": case("learned-policy", prompt=16, gen=32, block=16, mean=4.0, policy_parameters=3 * TILE),
}
TILES = {"ni-sampling": 40, "learned-policy": 3}
every_case = pytest.mark.parametrize("name", CASES)


def policy_steps(name: str) -> list[list[Step]]:
    """Of every forward, the steps of its policy phase."""
    phases = CASES[name].program.header.phases
    return [[step for step in steps if phases[step.phase].operator == "policy"] for steps in CASES[name].steps]


@every_case
def test_each_forward_reads_the_policy_behind_the_head(name: str) -> None:
    assert used_regions(CASES[name].program) == [["weights", "lm_head", "policy"]] * len(CASES[name].forwards)


@every_case
def test_each_forward_sends_its_own_rows_through_all_weights(name: str) -> None:
    for forward, steps in zip(CASES[name].forwards, policy_steps(name), strict=True):
        rows = [step.state["m_rows"][0] for step in steps if step.mnemonic == "M_MM"]
        assert sum(rows) == forward.policy_rows * TILES[name]
        assert {step.state["h_rows"][0] for step in steps if step.mnemonic == "H_GATHER_V"} == {forward.policy_rows}
        (scores,) = (step for step in steps if step.mnemonic == "V_RED_SUM_SEG")
        assert scores.state["v_rows"][0] == forward.policy_rows


def test_numbers_of_rows_differ_in_shared_code() -> None:
    rows = {forward.policy_rows for forward in CASES["ni-sampling"].forwards}
    made = CASES["ni-sampling"].program
    assert len(rows) > 16
    assert sum(step.opcode.mnemonic == "V_RED_SUM_SEG" for step in made.instructions) < 10 * len(rows)


@every_case
def test_scores_stand_in_for_confidences(name: str) -> None:
    """No other confidences come in, and the choice reads what the policy wrote."""
    made = CASES[name].program
    chosen, written = 0, -1
    for step in walk(made):
        operator = made.header.phases[step.phase].operator
        if operator == "policy" and step.mnemonic == "V_ADD_VF":
            written = step.operands["rd"]
        elif operator == "sampling" and step.mnemonic == "V_TOPK_MASK":
            assert step.operands["rs1"] == written
            chosen += 1
        assert not (operator == "sampling" and step.mnemonic == "S_MAP_V_FP" and step.operands["rd"] == written)
    assert chosen == len(CASES[name].forwards)


@every_case
def test_ideal_work_counts_the_policy(name: str) -> None:
    made = CASES[name].program
    without = lower(MODEL, with_first(), SMALL)
    ideal = made.header.ideal["total"]
    assert ideal["tensor_cycles"] <= tensor_cycles(made) <= 1.15 * ideal["tensor_cycles"]
    assert any(note.startswith("policy network") for note in made.header.notes)
    assert not any(note.startswith("policy network") for note in without.header.notes)


def test_several_sequences_are_refused() -> None:
    wide = [attrs.evolve(forward, sequences=2) for forward in CASES["learned-policy"].forwards]
    with pytest.raises(WorkloadError, match="policy network: 32 rows of 2 sequences; expected one sequence"):
        lower(MODEL, scripted(*wide), SMALL)


@pytest.mark.parametrize("logits", ["onchip", "online"])
def test_logits_may_stay_on_chip(logits: str) -> None:
    made = lower(MODEL, CASES["learned-policy"].schedule, SMALL, LoweringOptions(logits=logits))
    assert used_regions(made)[0] == ["weights", "lm_head", "policy"]
