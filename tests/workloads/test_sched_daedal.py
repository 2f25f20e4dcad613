"""DAEDAL against the executed sampler."""

from __future__ import annotations

from typing import Any

import pytest

from archsim.errors import WorkloadError
from tests.workloads.oracle_rows import Row, check, column, expand, integers, label, rows
from workloads.schedules import DaedalSchedule

ROWS = rows("schedules_daedal.csv")


def commits(row: Row) -> list[int]:
    """The row's commits; that of call 7 also counts the prompt, whose rows hold token id 7."""
    counts = expand(row["committed"])
    if len(counts) > 7:
        counts[7] -= int(row["prompt"])
    return counts


def build(row: Row, as_: str) -> DaedalSchedule:
    words = [f"{count}{'+' * grew}" for count, grew in zip(commits(row), expand(row["expanded"]), strict=True)]
    whole = ("prompt", "initial_gen", "block", "expansion_factor", "eos_check", "max_gen", "stage1_forwards")
    return DaedalSchedule(**integers(row, *whole), as_=as_, counts=" ".join(words))


def test_oracle_is_all_there() -> None:
    assert len(ROWS) == 7
    assert all(row["masks_left"] == "0" for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_counts_equal_the_reference(row: Row) -> None:
    forwards = check(build(row, "implemented"), row, "q_rows", "kv_rows", "sampled_rows")
    assert column(forwards, "committed") == commits(row)
    assert forwards[-1].q_rows == int(row["prompt"]) + int(row["final_gen"])
    ideal = check(build(row, "ideal"), row, "q_rows", "kv_rows")
    assert column(ideal, "sampled_rows") == [rows - int(row["prompt"]) for rows in expand(row["q_rows"])]


def test_the_commit_that_counts_the_prompt_fits_the_masks() -> None:
    for row in ROWS:
        masked, grew = expand(row["masked_before"]), expand(row["expanded"])
        for index in range(int(row["stage1_forwards"]), len(masked) - 1):
            if not grew[index]:
                assert masked[index + 1] == masked[index] - commits(row)[index]


TOY: dict[str, Any] = {"prompt": 8, "initial_gen": 4, "block": 4, "expansion_factor": 4, "eos_check": 4, "max_gen": 64}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "commit counts depend on the data, and no mean is published"),
        ({"counts": "0 4", "initial_gen": 65}, "initial-gen 65 with max-gen 64; expected at most max-gen"),
        ({"counts": "0 4", "stage1_forwards": 17}, "17 forwards in stage 1; expected at most 16, by when"),
        ({"counts": "1 3"}, "counts: forward 0 commits 1; expected 0"),
        ({"counts": "0 4+"}, "forward 1 expands without a masked row left; expected fewer commits"),
        ({"counts": "0 3"}, "counts: ends after 2 forwards with 1 masked rows to go"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(WorkloadError) as caught:
        list(DaedalSchedule(**{**TOY, **options}).forwards())
    assert str(caught.value).startswith(f"schedule daedal: {message}")
