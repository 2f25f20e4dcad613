"""dKV-Cache Decode and Greedy against the executed samplers."""

from __future__ import annotations

import pytest

from archsim.errors import WorkloadError
from tests.workloads.oracle_rows import Row, check, column, integers, label, rows
from workloads.schedules import DkvDecodeSchedule, DkvGreedySchedule

DECODE = rows("schedules_dkv_decode.csv")
GREEDY = rows("schedules_dkv_greedy.csv")
SHARED = ("prompt", "gen", "block", "steps", "refresh")


def decode(row: Row, as_: str) -> DkvDecodeSchedule:
    return DkvDecodeSchedule(**integers(row, *SHARED), cache="on" if row["cache"] == "True" else "off", as_=as_)


def greedy(row: Row, as_: str) -> DkvGreedySchedule:
    return DkvGreedySchedule(**integers(row, *SHARED, "window"), as_=as_)


def test_oracles_are_all_there() -> None:
    assert (len(DECODE), len(GREEDY)) == (14, 25)
    assert not any(row["error"] for row in DECODE + GREEDY)


@pytest.mark.parametrize("row", DECODE, ids=label)
def test_decode_equals_the_reference(row: Row) -> None:
    forwards = check(decode(row, "implemented"), row, "q_rows", "kv_rows", "sampled_rows", "committed")
    assert sum(column(forwards, "q_rows")) == int(row["q_total"])


@pytest.mark.parametrize("row", GREEDY, ids=label)
def test_greedy_equals_the_reference(row: Row) -> None:
    forwards = check(greedy(row, "implemented"), row, "q_rows", "kv_rows", "sampled_rows", "committed")
    assert sum(column(forwards, "q_rows")) == int(row["q_total"])


@pytest.mark.parametrize("row", DECODE, ids=label)
def test_ideal_decode_samples_the_block_s_masks(row: Row) -> None:
    left = int(row["block"])
    for forward in check(decode(row, "ideal"), row, "q_rows", "kv_rows", "committed"):
        assert forward.head_rows == forward.sampled_rows == left <= forward.q_rows
        left = (left - forward.committed) or int(row["block"])


@pytest.mark.parametrize("row", GREEDY, ids=label)
def test_ideal_greedy_samples_the_rows_to_commit(row: Row) -> None:
    forwards = check(greedy(row, "ideal"), row, "q_rows", "kv_rows", "committed")
    assert column(forwards, "sampled_rows") == column(forwards, "committed")


def test_forwards_that_leave_rows_out_are_marked() -> None:
    forwards = list(DkvDecodeSchedule(prompt=8, gen=16, block=8, steps=8, refresh=4).forwards())
    assert column(forwards, "scattered") == [False, False, True, True] * 2
    assert column(forwards, "kind") == ["warm", "warm", "refine", "refine"] * 2


@pytest.mark.parametrize("kind", [DkvDecodeSchedule, DkvGreedySchedule])
def test_impossible_combinations_are_refused(kind: type[DkvDecodeSchedule | DkvGreedySchedule]) -> None:
    with pytest.raises(WorkloadError, match="steps 7 over 2 blocks"):
        kind(prompt=8, gen=16, block=8, steps=7)
    with pytest.raises(WorkloadError, match="refresh is 0; expected an integer of at least 1"):
        kind(prompt=8, gen=16, block=8, refresh=0)
