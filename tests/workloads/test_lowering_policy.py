"""Programs in which a network behind sampling chooses the rows, checked by walking them."""

from __future__ import annotations

from functools import cache

import attrs
import pytest

from archsim.errors import WorkloadError
from archsim.isa.program import Program
from tests.workloads.small_view import MODEL, SMALL
from tests.workloads.streams import used_regions
from tests.workloads.test_lowering_networks import with_first
from tests.workloads.walk import Step, walk
from workloads.forwards import Schedule
from workloads.lowering.generation import lower
from workloads.lowering.options import LoweringOptions
from workloads.schedules import build_schedule

TILE = 256 * 16
"""Weights of a tile, of which every row of the hidden width takes one."""
CASES: dict[str, dict[str, float]] = {
    "ni-sampling": {"prompt": 16, "gen": 48, "block": 16, "mean": 2.0, "policy_parameters": 40 * TILE - 5},
    "learned-policy": {"prompt": 16, "gen": 32, "block": 16, "mean": 4.0, "policy_parameters": 3 * TILE},
}
TILES = {"ni-sampling": 40, "learned-policy": 3}
every_case = pytest.mark.parametrize("name", CASES)


def built(name: str) -> Schedule:
    return build_schedule(name, **CASES[name])


@cache
def program(name: str) -> Program:
    return lower(MODEL, built(name), SMALL)


def policy_steps(made: Program) -> list[list[Step]]:
    """Of every forward, the steps of its policy phase."""
    out: list[list[Step]] = []
    for step in walk(made):
        if step.mnemonic == "C_PHASE":
            if made.header.phases[step.operands["imm"]].operator == "embed":
                out.append([])
        elif made.header.phases[step.phase].operator == "policy":
            out[-1].append(step)
    return out


@every_case
def test_each_forward_reads_the_policy_behind_the_head(name: str) -> None:
    assert used_regions(program(name)) == [["weights", "lm_head", "policy"]] * len(list(built(name).forwards()))


@every_case
def test_each_forward_sends_its_own_rows_through_all_weights(name: str) -> None:
    for forward, steps in zip(built(name).forwards(), policy_steps(program(name)), strict=True):
        rows = [step.state["m_rows"][0] for step in steps if step.mnemonic == "M_MM"]
        assert sum(rows) == forward.policy_rows * TILES[name]
        assert {step.state["h_rows"][0] for step in steps if step.mnemonic == "H_GATHER_V"} == {forward.policy_rows}
        (scores,) = (step for step in steps if step.mnemonic == "V_RED_SUM_SEG")
        assert scores.state["v_rows"][0] == forward.policy_rows


def test_numbers_of_rows_differ_in_shared_code() -> None:
    rows = {forward.policy_rows for forward in built("ni-sampling").forwards()}
    made = program("ni-sampling")
    assert len(rows) > 16
    assert sum(step.opcode.mnemonic == "V_RED_SUM_SEG" for step in made.instructions) < 10 * len(rows)


@every_case
def test_scores_stand_in_for_confidences(name: str) -> None:
    """No other confidences come in, and the choice reads what the policy wrote."""
    made = program(name)
    chosen, written = 0, -1
    for step in walk(made):
        operator = made.header.phases[step.phase].operator
        if operator == "policy" and step.mnemonic == "V_ADD_VF":
            written = step.operands["rd"]
        elif operator == "sampling" and step.mnemonic == "V_TOPK_MASK":
            assert step.operands["rs1"] == written
            chosen += 1
        assert not (operator == "sampling" and step.mnemonic == "S_MAP_V_FP" and step.operands["rd"] == written)
    assert chosen == len(list(built(name).forwards()))


@every_case
def test_ideal_work_counts_the_policy(name: str) -> None:
    made = program(name)
    without = lower(MODEL, with_first(), SMALL)  # type: ignore[arg-type]
    tiles = sum(
        SMALL.blen * step.state["m_tiles"][0] for step in walk(made) if step.mnemonic in ("M_MM", "M_BMM", "M_BTMM")
    )
    ideal = made.header.ideal["total"]
    assert ideal["tensor_cycles"] <= tiles <= 1.15 * ideal["tensor_cycles"]
    assert any(note.startswith("policy network") for note in made.header.notes)
    assert not any(note.startswith("policy network") for note in without.header.notes)


def test_several_sequences_are_refused() -> None:
    class Wide:
        name, unlowerable, evidence, commit_source = "wide", None, "code run", None

        def forwards(self):  # type: ignore[no-untyped-def]
            return (attrs.evolve(forward, sequences=2) for forward in built("learned-policy").forwards())

    with pytest.raises(WorkloadError, match="policy network: 32 rows of 2 sequences; expected one sequence"):
        lower(MODEL, Wide(), SMALL)  # type: ignore[arg-type]


@pytest.mark.parametrize("logits", ["onchip", "online"])
def test_logits_may_stay_on_chip(logits: str) -> None:
    made = lower(MODEL, built("learned-policy"), SMALL, LoweringOptions(logits=logits))
    assert used_regions(made)[0] == ["weights", "lm_head", "policy"]
