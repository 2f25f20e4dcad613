"""Prophet against the executed sampler."""

from __future__ import annotations

from typing import Any

import pytest

from archsim.errors import WorkloadError
from tests.workloads.oracle_rows import Row, check, column, integers, label, rows
from workloads.schedules import ProphetSchedule

ROWS = rows("schedules_prophet.csv")


def build(row: Row, as_: str) -> ProphetSchedule:
    whole = integers(row, "prompt", "gen", "block", "steps", "answer_offset")
    return ProphetSchedule(**whole, prefilled=row["prefilled"], as_=as_, counts=row["committed"])


def test_oracle_is_all_there() -> None:
    assert len(ROWS) == 11


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_counts_equal_the_reference(row: Row) -> None:
    forwards = check(build(row, "implemented"), row, "q_rows", "kv_rows", "sampled_rows", "committed")
    assert set(column(forwards, "gap_rows")) == {int(row["top2_rows"])}
    ideal = check(build(row, "ideal"), row, "q_rows", "kv_rows", "committed")
    assert set(column(ideal, "head_rows")) == set(column(ideal, "sampled_rows")) == {int(row["gen"])}


def test_published_exit_comes_earlier_by_the_published_factor() -> None:
    options: dict[str, Any] = {"prompt": 8, "gen": 256, "answer_offset": 200}
    lengths = [len(list(ProphetSchedule(**options, seed=seed).forwards())) for seed in range(200)]
    assert set(lengths) == {109, 110}
    assert sum(lengths) / len(lengths) == pytest.approx(256 / 2.34, abs=0.1)
    total = ProphetSchedule(**options).describe()
    assert total["tokens"] == 256
    assert total["commit_source"] == "profile: 2.34 times fewer steps (Prophet README, general tasks), seed 0"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"answer_offset": 16}, "answer-offset 16 with gen 16; expected a generated row"),
        ({"prefilled": "3 16"}, "prefilled is '3 16'; expected row numbers from 0 to 15"),
        ({"counts": "2 3"}, "forward 1 commits 3; expected 2, or 14 for an exit"),
        ({"counts": "2 2"}, "counts: ends after 2 forwards with 12 masked rows to go; "),
        ({"counts": "16 2"}, "counts: 2 counts, but the schedule ends after 1 forwards; "),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(WorkloadError) as caught:
        list(ProphetSchedule(**{"prompt": 8, "gen": 16, "block": 8, "steps": 8, **options}).forwards())
    assert str(caught.value).startswith(f"schedule prophet: {message}")


def test_a_mean_sets_the_exit() -> None:
    built = ProphetSchedule(prompt=8, gen=64, block=32, mean=6.4)
    assert len(list(built.forwards())) == 10
    assert built.commit_source == "profile: 6.4 tokens per forward on average (given), seed 0"
