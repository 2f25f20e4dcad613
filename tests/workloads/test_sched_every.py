"""What holds for every schedule of the list."""

from __future__ import annotations

import pytest

from archsim.errors import WorkloadError
from tests.workloads.oracle_rows import column
from tests.workloads.schedule_toys import toy
from workloads.evidence import ABSTRACT_ONLY
from workloads.forwards import KINDS, Forward, schedule_json, summarize
from workloads.schedules import SCHEDULES, build_schedule

LENGTHS = {"edlm": 16, "daedal": 19} | dict.fromkeys(
    ("autoregressive", "bd3lm", "rho-eos", "context-init", "joint-sampling", "schema-scaffold"), 16
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


DRAWN = [name for name in SCHEDULES if toy(name).params.get("mean")]
"""Schedules whose toy draws its counts."""


def recorded(name: str, counts: list[int]) -> list[Forward]:
    params = {**toy(name).params, "mean": 0.0, "counts": " ".join(map(str, counts))}
    return list(build_schedule(name, **params).forwards())


@pytest.mark.parametrize("name", DRAWN)
def test_drawn_counts_given_back_make_the_same_forwards(name: str) -> None:
    drawn = list(toy(name).forwards())
    assert recorded(name, column(drawn, "committed")) == drawn


@pytest.mark.parametrize("name", DRAWN)
def test_logs_that_commit_too_few_or_too_many_are_refused(name: str) -> None:
    counts = column(toy(name).forwards(), "committed")
    with pytest.raises(WorkloadError, match=r"ends after \d+ forwards with \d+ masked rows to go"):
        recorded(name, counts[:-1])
    with pytest.raises(WorkloadError, match=r"counts, but the schedule ends after \d+ forwards"):
        recorded(name, [*counts, 1])


@pytest.mark.parametrize("name", SCHEDULES)
def test_json_says_what_rests_on_an_abstract(name: str) -> None:
    told = schedule_json(toy(name))["schedule"].get("evidence", "")
    assert (told == "abstract only, parametric") == (SCHEDULES[name].evidence == ABSTRACT_ONLY)
