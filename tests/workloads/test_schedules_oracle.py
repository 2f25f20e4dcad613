"""Row and commit counts against executed reference samplers (tests/data/oracles, sources in the files)."""

from __future__ import annotations

import pytest

from archsim.errors import WorkloadError
from tests.workloads.oracle_rows import Row, expand, rows
from workloads.schedules import LladaSchedule

COUNTS = ("q_rows", "kv_rows", "sampled_rows", "committed")


def label(row: Row) -> str:
    keys = ("prompt", "gen", "block", "steps", "cache", "remasking", "cfg_scale")
    return "-".join(row[key] for key in keys if row.get(key))


def schedule(row: Row, as_: str) -> LladaSchedule:
    return LladaSchedule(
        prompt=int(row["prompt"]),
        gen=int(row["gen"]),
        block=int(row["block"]),
        steps=int(row["steps"]),
        cache=row.get("cache", "none"),
        remasking=row["remasking"],
        cfg_scale=float(row.get("cfg_scale", 0)),
        as_=as_,
    )


def counts(built: LladaSchedule, column: str) -> list[int]:
    return [getattr(forward, column) for forward in built.forwards()]


LLADA = rows("schedules_llada.csv")
FAST = [row for row in rows("schedules_fast_dllm.csv") if row["select"] == "static"]
LATER = [row for row in rows("schedules_fast_dllm_later.csv") if row["select"] == "static"]
RUNS = [row for row in FAST if not row["error"]]


def test_oracles_are_all_there() -> None:
    assert (len(LLADA), len(FAST), len(RUNS), len(LATER)) == (35, 39, 37, 39)


@pytest.mark.parametrize("row", LLADA + RUNS, ids=label)
def test_implemented_counts_equal_the_reference(row: Row) -> None:
    built = schedule(row, "implemented")
    for column in COUNTS:
        assert counts(built, column) == expand(row[column]), column
    assert counts(built, "head_rows") == expand(row["q_rows"])
    assert built.gen - sum(counts(built, "committed")) == int(row["masks_left"])
    assert len(counts(built, "index")) == int(row["forwards"])


@pytest.mark.parametrize("row", LLADA, ids=label)
def test_sequences_equal_the_reference_batch(row: Row) -> None:
    assert set(counts(schedule(row, "ideal"), "sequences")) == {int(row["batch"])}


@pytest.mark.parametrize("row", LLADA + RUNS + LATER, ids=label)
def test_ideal_differs_in_head_and_sampled_rows_only(row: Row) -> None:
    built = schedule(row, "ideal")
    for column in ("q_rows", "kv_rows", "committed"):
        assert counts(built, column) == expand(row[column]), column
    assert set(counts(built, "head_rows")) == set(counts(built, "sampled_rows")) == {int(row["block"])}


@pytest.mark.parametrize("row", [row for row in FAST if row["error"]], ids=label)
def test_configuration_on_which_the_reference_fails_is_refused(row: Row) -> None:
    with pytest.raises(WorkloadError, match=r"one step a block with cache .* the reference code cannot run"):
        schedule(row, "implemented")
    assert counts(schedule(row, "ideal"), "committed") == [int(row["block"])] * 2
