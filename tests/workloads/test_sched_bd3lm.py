"""BD3-LM against the executed sampler."""

from __future__ import annotations

from typing import Any

import pytest

from archsim.errors import WorkloadError
from tests.workloads.oracle_rows import Row, check, column, expand, integers, label, rows
from workloads.schedules import Bd3lmSchedule

ROWS = rows("schedules_bd3lm.csv")


def build(row: Row, as_: str) -> Bd3lmSchedule:
    hitting = row["first_hitting"] == "1"
    return Bd3lmSchedule(
        **integers(row, "block", "num_steps", "context"), gen=int(row["length"]), as_=as_,
        sampler="first_hitting" if hitting else "ancestral", cache="on" if row["kv_cache"] == "1" else "off",
        counts="" if hitting else row["committed"],
    )


def test_oracle_is_all_there() -> None:
    assert len(ROWS) == 11
    assert [row["num_steps"] for row in ROWS if row["masks_left"] != "0"] == ["6"]


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_implemented_counts_equal_the_reference(row: Row) -> None:
    forwards = check(build(row, "implemented"), row, "q_rows", "kv_rows", "committed")
    assert [int(forward.kind == "store") for forward in forwards] == expand(row["store"])
    assert sum(forward.kind != "store" for forward in forwards) == int(row["nfe_reported"])
    assert column(forwards, "head_rows") == column(forwards, "q_rows")
    assert int(row["length"]) - 1 - sum(column(forwards, "committed")) == int(row["masks_left"])


@pytest.mark.parametrize("row", [row for row in ROWS if row["masks_left"] == "0"], ids=label)
def test_ideal_samples_the_chosen_row_or_the_masks(row: Row) -> None:
    forwards = check(build(row, "ideal"), row, "q_rows", "kv_rows", "committed")
    masked = expand(row["masked_rows_in"])
    if row["first_hitting"] == "1":
        masked = [min(rows, 1) for rows in masked]
    assert column(forwards, "sampled_rows") == column(forwards, "head_rows") == masked


def test_worked_example_with_a_prompt_in_the_cache() -> None:
    forwards = list(Bd3lmSchedule(prompt=8, gen=16, block=8).forwards())
    assert column(forwards, "kv_rows") == [16] * 9 + [24] * 9
    assert column(forwards, "committed") == ([1] * 8 + [0]) * 2
    assert sum(column(forwards, "q_rows")) == 144


def test_oldest_rows_leave_a_full_cache() -> None:
    forwards = Bd3lmSchedule(prompt=8, gen=16, block=8, context=16).forwards()
    assert set(column(forwards, "kv_rows")) == {16}


def test_ancestral_draws_are_seeded_and_complete() -> None:
    options: dict[str, Any] = {"gen": 64, "num_steps": 32, "sampler": "ancestral"}
    built = Bd3lmSchedule(**options, seed=1)
    assert built.describe()["tokens"] == 63
    assert list(built.forwards()) == list(built.forwards())
    assert column(built.forwards(), "committed") != column(Bd3lmSchedule(**options, seed=2).forwards(), "committed")
    # 32 steps over 16 rows change nothing about as often as something, and then take no forward.
    assert 40 < len(list(built.forwards())) < 4 * 17


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": 5}, "prompt 5 with block 8; expected prompt to be whole blocks"),
        ({"num_steps": 7}, "num-steps 7 with block 8, which leaves masks; expected a step for each row"),
        ({"counts": "1x7 0 1x8 0"}, "commit counts given with sampler first_hitting, which fixes them; expected no"),
        ({"context": 4}, "context 4 with block 8; expected at least a block"),
        ({"sampler": "ancestral", "counts": "7 0 8"}, "counts: ends after 3 forwards with 0 masked rows to go"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(WorkloadError) as caught:
        list(Bd3lmSchedule(**{"gen": 16, "block": 8, **options}).forwards())
    assert str(caught.value).startswith(f"schedule bd3lm: {message}")
