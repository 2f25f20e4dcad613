"""Autoregressive schedule: closed forms of rows and positions."""

from __future__ import annotations

import pytest

from archsim.errors import WorkloadError
from workloads.schedules import AutoregressiveSchedule


def test_prefill_then_a_growing_cache() -> None:
    forwards = list(AutoregressiveSchedule(prompt=5, gen=4, batch=2).forwards())
    assert [forward.kind for forward in forwards] == ["prefill", "decode", "decode", "decode"]
    assert [forward.q_rows for forward in forwards] == [5, 1, 1, 1]
    assert [forward.q_start for forward in forwards] == [0, 5, 6, 7]
    assert [forward.kv_rows for forward in forwards] == [5, 6, 7, 8]
    assert [forward.head_start for forward in forwards] == [4, 5, 6, 7]
    assert [forward.block_start for forward in forwards] == [5, 6, 7, 8]
    assert {forward.head_rows for forward in forwards} == {1}
    assert {forward.sequences for forward in forwards} == {2}
    assert all(forward.write_start == forward.q_start for forward in forwards)
    assert all(forward.write_rows == forward.q_rows for forward in forwards)


def test_totals() -> None:
    assert AutoregressiveSchedule(prompt=128, gen=256).describe() == {
        "name": "autoregressive", "prompt": 128, "gen": 256, "batch": 1,
        "forwards": 256, "query_rows": 128 + 255, "tokens": 256,
    }


def test_one_token_needs_no_decode() -> None:
    assert [forward.kind for forward in AutoregressiveSchedule(prompt=3, gen=1).forwards()] == ["prefill"]


def test_empty_prompt_is_refused() -> None:
    with pytest.raises(WorkloadError, match="prompt is 0; expected an integer of at least 1"):
        AutoregressiveSchedule(prompt=0, gen=1)
