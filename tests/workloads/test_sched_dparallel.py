"""dParallel against the executed sampler."""

from __future__ import annotations

import pytest

from archsim.errors import WorkloadError
from tests.workloads.oracle_rows import Row, check, column, integers, label, rows
from workloads.schedules import DparallelSchedule, LladaSchedule

ROWS = rows("schedules_dparallel.csv")
ENTROPY = [row for row in ROWS if row["select"] == "entropy"]
STATIC = [row for row in ROWS if row["select"] == "static"]


def build(row: Row, as_: str) -> DparallelSchedule:
    return DparallelSchedule(
        **integers(row, "prompt", "gen", "block"), threshold=float(row["threshold"]), as_=as_, counts=row["committed"]
    )


def test_oracle_is_all_there() -> None:
    assert (len(ENTROPY), len(STATIC)) == (14, 4)


@pytest.mark.parametrize("row", ENTROPY, ids=label)
def test_counts_equal_the_reference(row: Row) -> None:
    forwards = check(build(row, "implemented"), row, "q_rows", "kv_rows", "sampled_rows", "committed", "block_index")
    assert set(column(forwards, "head_rows")) == {forwards[0].kv_rows}
    ideal = check(build(row, "ideal"), row, "q_rows", "kv_rows", "committed")
    assert set(column(ideal, "head_rows")) == set(column(ideal, "sampled_rows")) == {int(row["block"])}


@pytest.mark.parametrize("row", STATIC, ids=label)
def test_static_counts_are_llada_s(row: Row) -> None:
    built = LladaSchedule(**integers(row, "prompt", "gen", "block", "steps"), as_="implemented")
    check(built, row, "q_rows", "kv_rows", "sampled_rows", "committed")


def test_profile_has_the_published_mean() -> None:
    total = DparallelSchedule(prompt=8, gen=32 * 300, seed=1).describe()
    assert total["tokens"] == 9600
    assert total["forwards"] == pytest.approx(9600 * 30 / 256, rel=0.01)
    assert "GSM8K: 256 tokens in 30 forwards" in total["commit_source"]


def test_other_thresholds_need_counts() -> None:
    with pytest.raises(WorkloadError, match="no mean is published for these options"):
        DparallelSchedule(prompt=8, gen=32, threshold=0.4)
