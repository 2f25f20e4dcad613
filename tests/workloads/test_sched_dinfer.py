"""dInfer's samplers against the executed ones."""

from __future__ import annotations

from typing import Any

import pytest

from archsim.errors import WorkloadError
from tests.workloads.oracle_rows import Row, check, column, expand, integers, label, rows
from workloads.schedules import DinferBlockSchedule, DinferSchedule

ROWS = rows("schedules_dinfer.csv")
BLOCK = [row for row in ROWS if row["mode"] == "block_diffusion"]
CANVAS = [row for row in ROWS if row["mode"] != "block_diffusion"]
LOOKS = ("prefix_look", "after_look", "warmup", "cache_update_freq")


def canvas(row: Row, as_: str) -> DinferSchedule:
    whole = integers(row, "prompt", "gen", "block", "maximum_unroll", "expected_tpf")
    looks = integers(row, *(key for key in LOOKS if row[key]))
    return DinferSchedule(**whole, **looks, cache=row["mode"], as_=as_, counts=row["committed"])


def block(row: Row, as_: str, counts: str) -> DinferBlockSchedule:
    whole = integers(row, "prompt", "gen", "block", "maximum_unroll", "expected_tpf")
    return DinferBlockSchedule(**whole, threshold=float(row["threshold"]), as_=as_, counts=counts)


def test_oracle_is_all_there() -> None:
    assert (len(BLOCK), len(CANVAS)) == (10, 15)
    assert not any(row["error"] for row in ROWS)
    assert all(row["masks_left"] == "0" for row in ROWS)


@pytest.mark.parametrize("row", CANVAS, ids=label)
def test_canvas_counts_equal_the_reference(row: Row) -> None:
    forwards = check(canvas(row, "implemented"), row, "q_rows", "kv_rows", "committed")
    assert column(forwards, "q_start") == expand(row["row_start"])
    assert [int(forward.kind == "refine") for forward in forwards] == expand(row["uses_cache"])
    assert column(forwards, "head_rows") == column(forwards, "q_rows")


@pytest.mark.parametrize("row", BLOCK, ids=label)
def test_block_counts_equal_the_reference(row: Row) -> None:
    forwards = check(block(row, "implemented", row["committed"]), row, "q_rows", "kv_rows", "committed")
    assert column(forwards, "q_start") == expand(row["row_start"])
    assert forwards[-1].kv_rows == int(row["rows_total"])


def test_ideal_runs_no_forward_without_masks() -> None:
    built = DinferSchedule(prompt=8, gen=16, block=8, prefix_look=2, after_look=2, counts="8 3 5")
    assert column(built.forwards(), "q_rows") == [24, 24, 10]
    assert column(built.forwards(), "head_rows") == [8, 8, 8]


@pytest.mark.parametrize("row", BLOCK, ids=label)
def test_ideal_block_stores_once(row: Row) -> None:
    masks = [int(count) for count in expand(row["committed"]) if count]
    total = int(row["rows_total"]) - int(row["prompt"])
    words, left = ["0"], int(row["block"]) - int(row["prompt"]) % int(row["block"])
    for count in masks:
        words.append(str(count))
        left -= count
        if left == 0:
            words.append("0")
            left = int(row["block"])
    forwards = list(block(row, "ideal", " ".join(words)).forwards())
    assert sum(column(forwards, "committed")) == total
    assert [forward.head_rows for forward in forwards if forward.kind != "refine"].count(0) == words.count("0")


def test_profile_has_the_published_mean() -> None:
    total = DinferBlockSchedule(prompt=32, gen=32 * 300).describe()
    assert total["tokens"] == 9600
    # The prompt and the stores commit nothing and are not part of the mean.
    assert total["forwards"] - 301 == pytest.approx(9600 / 2.55, rel=0.01)
    assert total["commit_source"].startswith("profile: 2.55 tokens per forward on average (LLaDA2.0 report")


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (DinferSchedule, {}, "commit counts depend on the data, and no mean is published"),
        (DinferSchedule, {"cache": "dual", "warmup": 2, "counts": "8"}, "warmup 2 with cache dual; expected cache "),
        (DinferSchedule, {"cache": "none", "cache_update_freq": 2, "counts": "8"}, "cache-update-freq 2 with cache no"),
        (DinferBlockSchedule, {"threshold": 0.5}, "commit counts depend on the data, and no mean is published"),
        (DinferBlockSchedule, {"counts": "1 8 0 8 0"}, "counts: forward 0 commits 1; expected 0"),
    ],
)
def test_what_cannot_be_is_refused(kind: type[Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(WorkloadError) as caught:
        list(kind(**{"prompt": 8, "gen": 16, "block": 8, **options}).forwards())
    assert str(caught.value).startswith(f"schedule {kind.name}: {message}")
