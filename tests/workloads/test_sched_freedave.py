"""FreeDave against the executed sampler."""

from __future__ import annotations

from typing import Any

import pytest

from archsim.errors import WorkloadError
from tests.workloads.oracle_rows import Row, column, expand, integers, label, rows
from workloads.schedules import FreedaveSchedule

ROWS = rows("schedules_freedave.csv")
TOY: dict[str, Any] = {"prompt": 8, "gen": 16, "block": 8}


def build(row: Row, as_: str) -> FreedaveSchedule:
    return FreedaveSchedule(
        **integers(row, "prompt", "gen", "block", "draft_steps", "token_per_step"), cache=row["cache"],
        draft_mode=row["draft_mode"].partition("_")[0], as_=as_, counts=row["committed"],
    )


def test_oracle_is_all_there() -> None:
    assert len(ROWS) == 12
    assert not any(row["error"] for row in ROWS)


@pytest.mark.parametrize("as_", ["ideal", "implemented"])
@pytest.mark.parametrize("row", ROWS, ids=label)
def test_counts_equal_the_reference(row: Row, as_: str) -> None:
    forwards = list(build(row, as_).forwards())
    assert [forward.q_rows * forward.sequences for forward in forwards] == expand(row["q_rows"])
    for name, theirs in [("sequences", "batch"), ("kv_rows", "kv_rows"), ("committed", "committed")]:
        assert column(forwards, name) == expand(row[theirs]), name
    assert column(forwards, "branches") == [max(branches, 1) for branches in expand(row["branches"])]
    following = [*column(forwards[1:], "step_in_block"), 0]
    last = [forward for forward, step in zip(forwards, following, strict=True) if step == 0]
    assert column(last, "free_commits") == expand(row["free_commit_per_block"])
    assert sum(column(forwards, "free_commits")) == sum(column(last, "free_commits"))
    assert len(forwards) == int(row["forwards"])


def test_worked_example_and_totals() -> None:
    built = FreedaveSchedule(**TOY, counts="0 3 3 1 0 3 3 1")
    assert column(built.forwards(), "q_rows") == [24, 32, 32, 16] * 2
    assert built.describe()["tokens"] == 16


@pytest.mark.parametrize(("as_", "head"), [("ideal", [8, 32, 32]), ("implemented", [24, 64, 64])])
def test_head_rows_of_all_branches(as_: str, head: list[int]) -> None:
    built = FreedaveSchedule(**TOY, cache="prefix", as_=as_, counts="0 4 4 0 4 4")
    assert column(built.forwards(), "head_rows")[:3] == head


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "schedule freedave: commit counts depend on the data, and no mean is published"),
        ({"counts": "1"}, "schedule freedave: counts: forward 0 commits 1; expected 0"),
        ({"counts": "0 5"}, "schedule freedave: counts: forward 1 commits 5; expected 1 to 4"),
        ({"counts": "0 3", "token_per_step": 2}, "schedule freedave: a forward commits 3 with token-per-step 2; "),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(WorkloadError) as caught:
        list(FreedaveSchedule(**TOY, **options).forwards())
    assert str(caught.value).startswith(message)
