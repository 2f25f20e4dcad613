"""Fast-dLLM against both executed snapshots; refusals; the published profile."""

from __future__ import annotations

from typing import Any

import pytest

from archsim.errors import WorkloadError
from tests.workloads.oracle_rows import Row, check, column, expand, integers, label, rows
from workloads.schedules import FastDllmSchedule

NO_MEAN = (
    "commit counts depend on the data, and no mean is published for these options; "
    "expected commits FILE, counts, or a mean"
)
FIRST = rows("schedules_fast_dllm.csv")
LATER = rows("schedules_fast_dllm_later.csv")
RUNS = [("first", row) for row in FIRST if not row["error"]] + [("later", row) for row in LATER]
TOY: dict[str, Any] = {"prompt": 8, "gen": 16, "block": 8, "steps": 8}


def build(version: str, row: Row, as_: str, counts: str) -> FastDllmSchedule:
    more = {"threshold": float(row["threshold"])} if row["threshold"] else {}
    return FastDllmSchedule(
        **integers(row, "prompt", "gen", "block", "steps"), cache=row["cache"], select=row["select"],
        version=version, as_=as_, counts=counts, **more,
    )


def given_counts(row: Row) -> str:
    """The row's commits; those in earlier blocks show where the own block loses fewer masks than were committed."""
    if row["select"] == "static":
        return ""
    words, commits, masked = [], expand(row["committed"]), expand(row["masked_before"])
    block, number, queries = int(row["block"]), expand(row["block_index"]), expand(row["q_rows"])
    for index, committed in enumerate(commits):
        first = index == 0 or number[index] != number[index - 1]
        last = index + 1 == len(commits) or number[index + 1] != number[index]
        own = block if first else masked[index]
        after = None if last else masked[index + 1]
        earlier = committed - (own - after) if first and after is not None and queries[index] > block else 0
        words.append(f"{committed}/{earlier}" if earlier else str(committed))
    return " ".join(words)


def test_oracles_are_all_there() -> None:
    assert (len(FIRST), len(LATER), len(RUNS)) == (81, 96, 175)


@pytest.mark.parametrize(("version", "row"), RUNS, ids=[f"{version}-{label(row)}" for version, row in RUNS])
def test_implemented_counts_equal_the_reference(version: str, row: Row) -> None:
    built = build(version, row, "implemented", given_counts(row))
    forwards = check(built, row, "q_rows", "kv_rows", "sampled_rows", "committed")
    assert built.gen - sum(column(forwards, "committed")) == int(row["masks_left"])
    assert column(forwards, "head_rows") == column(forwards, "q_rows")


IDEAL = [row for row in LATER if row["masks_left"] == "0"]


@pytest.mark.parametrize("row", IDEAL, ids=label)
def test_ideal_is_the_later_version_over_the_block_s_rows(row: Row) -> None:
    forwards = check(build("first", row, "ideal", given_counts(row)) if row["select"] != "factor"
                     else build("later", row, "ideal", given_counts(row)), row, "q_rows", "kv_rows", "committed")
    assert set(column(forwards, "head_rows")) == set(column(forwards, "sampled_rows")) == {int(row["block"])}


@pytest.mark.parametrize("row", [row for row in FIRST if row["error"]], ids=label)
def test_what_the_first_version_cannot_run_is_refused(row: Row) -> None:
    with pytest.raises(WorkloadError, match="which the first version cannot run"):
        build("first", row, "implemented", "")


def test_a_block_given_up_is_made_up_in_a_later_refresh() -> None:
    built = FastDllmSchedule(**TOY, as_="implemented", counts="1x4 4/3 1x3")
    assert column(built.forwards(), "committed") == [1, 1, 1, 1, 4, 1, 1, 1]
    with pytest.raises(WorkloadError, match="at most 8 in this block and 4 in earlier ones"):
        list(FastDllmSchedule(**TOY, as_="implemented", counts="1x4 6/5 1x3").forwards())


def test_profile_has_the_published_mean() -> None:
    built = FastDllmSchedule(prompt=8, gen=32 * 400, block=32, cache="none", seed=7)
    total = built.describe()
    assert total["tokens"] == 12800
    assert total["forwards"] == pytest.approx(12800 / 3.25, rel=0.01)
    assert total["commit_source"].startswith("profile: 3.25 tokens per forward on average (Fast-dLLM paper")
    assert total["commit_source"].endswith("without cache), seed 7")
    assert list(built.forwards()) == list(built.forwards())
    assert list(built.forwards()) != list(FastDllmSchedule(prompt=8, gen=12800, cache="none", seed=8).forwards())


def test_threshold_one_commits_one_token_a_forward() -> None:
    assert set(column(FastDllmSchedule(**TOY, threshold=1.0).forwards(), "committed")) == {1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0.95}, NO_MEAN),
        ({"select": "factor"}, NO_MEAN),
        ({"select": "factor", "version": "first", "counts": "8 8"},
         "select factor with the first version, which lacks it; expected version later"),
        ({"select": "static", "counts": "8 8"},
         "commit counts given with select static, which fixes them; expected no commit counts"),
        ({"block": 5}, "gen 16 with block 5; expected gen to be a multiple of block"),
        ({"counts": "8 8", "commits": "x"}, "both commits and counts are given; expected one of them"),
    ],
)
def test_impossible_combinations_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(WorkloadError) as caught:
        FastDllmSchedule(**{**TOY, **options})
    assert str(caught.value) == f"schedule fast-dllm: {message}"


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ("8 7", "ends after 2 forwards with 1 masked rows to go; expected one count for each forward"),
        ("8 9", "forward 1 commits 9; expected 1 to 8"),
        ("8 0 8", "forward 1 commits 0; expected 1 to 8"),
        ("8 8 1", "3 counts, but the schedule ends after 2 forwards; expected one count for each forward"),
        ("8 x", "'x' is no count; expected one such as 3, 1x4, 3/1, 2+ or 2-8"),
    ],
)
def test_wrong_counts_are_refused(counts: str, message: str) -> None:
    with pytest.raises(WorkloadError) as caught:
        list(FastDllmSchedule(**TOY, counts=counts).forwards())
    assert str(caught.value) == f"schedule fast-dllm: counts: {message}"
