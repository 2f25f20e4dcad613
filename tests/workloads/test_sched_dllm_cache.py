"""dLLM-Cache against the executed sampler, operator by operator."""

from __future__ import annotations

from typing import Any

import pytest

from archsim.errors import WorkloadError
from tests.workloads.oracle_rows import Row, check, column, expand, integers, label, rows
from workloads.forwards import schedule_json
from workloads.schedules import DllmCacheSchedule

ROWS = rows("schedules_dllm_cache.csv")
OPERATORS = {
    "layer0_rows": "first_layer", "q_rows": "query", "k_rows": "key", "v_rows": "value",
    "attn_q_rows": "attention", "ffn_rows": "feedforward",
}


def build(row: Row, as_: str) -> DllmCacheSchedule:
    whole = integers(row, "prompt", "gen", "block", "steps", "prompt_interval", "gen_interval")
    return DllmCacheSchedule(**whole, transfer_ratio=float(row["transfer_ratio"]), as_=as_)


def test_oracle_is_all_there() -> None:
    assert len(ROWS) == 11
    assert not any(row["error"] for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_implemented_counts_equal_the_reference(row: Row) -> None:
    built = build(row, "implemented")
    forwards = check(built, row, "q_rows", "kv_rows", "head_rows", "sampled_rows", "committed")
    for name, field in OPERATORS.items():
        assert [getattr(forward.operators, field) for forward in forwards] == expand(row[name]), name


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_ideal_differs_in_head_and_sampled_rows_only(row: Row) -> None:
    forwards = check(build(row, "ideal"), row, "q_rows", "kv_rows", "committed")
    assert set(column(forwards, "head_rows")) == set(column(forwards, "sampled_rows")) == {int(row["block"])}


def test_json_has_the_operators() -> None:
    data = schedule_json(build(ROWS[0], "ideal"))
    assert data["forwards"][1]["operators"] == {
        "first_layer": 24, "query": 4, "key": 4, "value": 16, "attention": 4, "feedforward": 4,
        "compared": "value",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"transfer_ratio": 1.5}, "transfer-ratio is 1.5; expected 0 to 1"),
        ({"transfer_ratio": 0.01}, "transfer-ratio 0.01 of 16 rows is none; expected 0, or a row"),
        ({"block": 5}, "gen 16 with block 5; expected gen to be a multiple of block"),
        ({"gen_interval": 0}, "gen-interval is 0; expected an integer of at least 1"),
    ],
)
def test_impossible_combinations_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(WorkloadError) as caught:
        DllmCacheSchedule(**{"prompt": 8, "gen": 16, "block": 8, **options})
    assert str(caught.value) == f"schedule dllm-cache: {message}"
