"""Window-Diffusion against the executed sampler."""

from __future__ import annotations

from typing import Any

import pytest

from archsim.errors import WorkloadError
from tests.workloads.oracle_rows import Row, check, column, integers, label, rows
from workloads.schedules import WindowDiffusionSchedule

ROWS = rows("schedules_window_diffusion.csv")
WHOLE = [row for row in ROWS if row["masks_left"] == "0"]


def build(row: Row, as_: str) -> WindowDiffusionSchedule:
    whole = integers(row, "prompt", "gen", "steps", "window_tokens", "active_tokens", "refresh_cycle")
    return WindowDiffusionSchedule(**whole, as_=as_)


def test_oracle_is_all_there() -> None:
    assert (len(ROWS), len(WHOLE)) == (15, 14)
    assert not any(row["error"] for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_implemented_counts_equal_the_reference(row: Row) -> None:
    forwards = check(build(row, "implemented"), row, "q_rows", "kv_rows", "sampled_rows", "committed")
    assert sum(column(forwards, "q_rows")) == int(row["q_total"])
    assert int(row["gen"]) - sum(column(forwards, "committed")) == int(row["masks_left"])


@pytest.mark.parametrize("row", WHOLE, ids=label)
def test_ideal_samples_masked_rows_only(row: Row) -> None:
    masked = int(row["gen"])
    for forward in check(build(row, "ideal"), row, "q_rows", "kv_rows", "committed"):
        wanted = masked if forward.step_in_block == 0 else min(masked, int(row["active_tokens"]))
        assert forward.head_rows == forward.sampled_rows == wanted
        masked -= forward.committed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 4, "active_tokens": 2}, "4 tokens a step with active-tokens 2, which leaves masks; expected more"),
        ({"steps": 2, "active_tokens": 1, "refresh_cycle": 1}, ""),
        ({"refresh_cycle": 0}, "refresh-cycle is 0; expected an integer of at least 1"),
    ],
)
def test_what_leaves_masks_is_refused(options: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"prompt": 8, "gen": 16, "window_tokens": 8, "active_tokens": 4, "refresh_cycle": 4}
    if not message:
        assert WindowDiffusionSchedule(**{**given, **options}).describe()["tokens"] == 16
        return
    with pytest.raises(WorkloadError) as caught:
        WindowDiffusionSchedule(**{**given, **options})
    assert str(caught.value).startswith(f"schedule window-diffusion: {message}")
