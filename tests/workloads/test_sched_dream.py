"""Dream and Fast-dLLM on Dream against the executed samplers."""

from __future__ import annotations

from typing import Any

import pytest

from archsim.errors import WorkloadError
from tests.workloads.oracle_rows import Row, check, column, expand, integers, label, rows
from workloads.forwards import Schedule
from workloads.schedules import DreamSchedule, FastDllmDreamSchedule
from workloads.schedules.dream_time import time_steps

NO_MEAN = (
    "commit counts depend on the data, and no mean is published for these options; "
    "expected commits FILE, counts, or a mean"
)
ROWS = rows("schedules_dream.csv")
PLAIN = [row for row in ROWS if row["cache"] == "none"]
CACHED = [row for row in ROWS if row["cache"] != "none"]


def build(row: Row, as_: str) -> Schedule:
    counts = row["committed"] if row["alg"] in ("origin", "confidence_threshold") else ""
    common: dict[str, Any] = {"alg": row["alg"], "eps": float(row["eps"]), "as_": as_, "counts": counts}
    if row["cache"] == "none":
        return DreamSchedule(**integers(row, "prompt", "gen", "steps"), **common)
    return FastDllmDreamSchedule(**integers(row, "prompt", "gen", "block", "steps"), cache=row["cache"], **common)


def test_oracles_are_all_there() -> None:
    assert (len(ROWS), len(PLAIN), len(CACHED)) == (71, 37, 34)


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_implemented_counts_equal_the_reference(row: Row) -> None:
    built = build(row, "implemented")
    forwards = check(built, row, "q_rows", "kv_rows", "head_rows", "sampled_rows", "committed")
    assert int(row["gen"]) - sum(column(forwards, "committed")) == int(row["masks_left"])


@pytest.mark.parametrize("row", PLAIN, ids=label)
def test_ideal_computes_logits_of_the_sampled_rows_only(row: Row) -> None:
    forwards = check(build(row, "ideal"), row, "q_rows", "kv_rows", "sampled_rows", "committed")
    assert column(forwards, "head_rows") == expand(row["sampled_rows"])


@pytest.mark.parametrize("row", [row for row in CACHED if row["masks_left"] == "0"], ids=label)
def test_ideal_cached_forward_samples_the_block_s_masks(row: Row) -> None:
    forwards = check(build(row, "ideal"), row, "q_rows", "kv_rows", "committed")
    masked = int(row["block"])
    for forward in forwards:
        assert forward.head_rows == forward.sampled_rows == (1 if forward.step_in_block == 0 else masked)
        masked = (masked - forward.committed) or int(row["block"])


@pytest.mark.parametrize("gen", [128, 256, 512])
def test_a_step_a_token_starts_with_none_and_ends_with_two(gen: int) -> None:
    counts = column(DreamSchedule(prompt=1, gen=gen).forwards(), "committed")
    assert counts == [0] + [1] * (gen - 2) + [2]


def test_time_steps_run_from_one_to_eps() -> None:
    times = time_steps(4, 0.001)
    assert times[0] == 1.0
    assert times[-1] == pytest.approx(0.001, rel=1e-6)
    assert times == sorted(times, reverse=True)
    assert len(times) == 5


def test_origin_draws_are_seeded_and_complete() -> None:
    built = DreamSchedule(prompt=8, gen=64, steps=16, alg="origin", seed=3)
    counts = column(built.forwards(), "committed")
    assert sum(counts) == 64
    assert counts == column(built.forwards(), "committed")
    assert counts != column(DreamSchedule(prompt=8, gen=64, steps=16, alg="origin", seed=4).forwards(), "committed")
    assert built.commit_source == "drawn row by row as the algorithm does, seed 3"


def test_threshold_quota_grows_by_what_was_put_off() -> None:
    options: dict[str, Any] = {"prompt": 8, "gen": 16, "steps": 8, "alg": "confidence_threshold"}
    assert column(DreamSchedule(**options, counts="1 3 2x6").forwards(), "committed") == [1, 3, 2, 2, 2, 2, 2, 2]
    with pytest.raises(WorkloadError, match="forward 1 commits 4; expected 1 to 3"):
        list(DreamSchedule(**options, counts="1 4 2x6").forwards())


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (DreamSchedule, {"eps": 0.0}, "eps is 0.0; expected a number between 0 and 1"),
        (DreamSchedule, {"counts": "16"},
         "commit counts given with alg entropy, which fixes them; expected no commit counts"),
        (DreamSchedule, {"alg": "confidence_threshold", "counts": "1x16", "steps": 5},
         "gen 16 in 5 steps; expected gen to be a multiple of steps"),
        (DreamSchedule, {"alg": "confidence_threshold"},
         NO_MEAN),
        (FastDllmDreamSchedule, {"block": 8, "steps": 2},
         "one step a block, which leaves masks; expected more steps, or as implemented"),
        (FastDllmDreamSchedule, {"block": 8, "steps": 7},
         "steps 7 over 2 blocks; expected a multiple of the number of blocks"),
    ],
)
def test_impossible_combinations_are_refused(kind: type[Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(WorkloadError) as caught:
        kind(**{"prompt": 8, "gen": 16, **options})
    assert str(caught.value) == f"schedule {kind.name}: {message}"
