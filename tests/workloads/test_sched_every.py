"""What holds for every schedule of the list."""

from __future__ import annotations

import pytest

from tests.workloads.oracle_rows import column
from tests.workloads.schedule_toys import toy
from workloads.evidence import ABSTRACT_ONLY
from workloads.forwards import KINDS, schedule_json, summarize
from workloads.schedules import SCHEDULES, build_schedule

LENGTHS = {"daedal": 19} | dict.fromkeys(
    ("autoregressive", "rho-eos", "context-init", "joint-sampling", "schema-scaffold"), 16
)
"""Tokens of the toys that are not 32."""


@pytest.mark.parametrize("name", SCHEDULES)
def test_forwards_are_sound(name: str) -> None:
    forwards = list(toy(name).forwards())
    assert column(forwards, "index") == list(range(len(forwards)))
    assert column(forwards, "block_index") == sorted(column(forwards, "block_index"))
    for forward in forwards:
        assert forward.kind in KINDS
        assert min(forward.q_rows, forward.kv_rows, forward.sequences) > 0
        assert 0 <= forward.q_start <= forward.head_start
        assert 0 <= forward.sampled_rows <= forward.head_rows
        # Rows left out by operator caches still have an output; an initialising draft commits all at its end.
        assert forward.head_rows <= forward.q_rows or forward.operators is not None
        assert 0 <= forward.committed <= forward.sampled_rows or forward.network


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_token_is_committed_once(name: str) -> None:
    assert summarize(toy(name))["tokens"] == LENGTHS.get(name, 32)


@pytest.mark.parametrize("name", SCHEDULES)
def test_forwards_are_the_same_each_time(name: str) -> None:
    built = toy(name)
    assert list(built.forwards()) == list(built.forwards())
    assert build_schedule(name, **built.params) == built


@pytest.mark.parametrize("name", SCHEDULES)
def test_json_says_what_rests_on_an_abstract(name: str) -> None:
    told = schedule_json(toy(name))["schedule"].get("evidence", "")
    assert (told == "abstract only, parametric") == (SCHEDULES[name].evidence == ABSTRACT_ONLY)
