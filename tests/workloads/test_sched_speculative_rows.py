"""Speculative and multi-lane rows: how their forwards differ from LLaDA's and from autoregressive decoding."""

from __future__ import annotations

from typing import Any

import pytest

from archsim.errors import WorkloadError
from tests.workloads.oracle_rows import column
from workloads.forwards import Forward, summarize
from workloads.schedules import build_schedule

TOY: dict[str, Any] = {"prompt": 8, "gen": 16, "block": 8}


def run(name: str, **options: Any) -> list[Forward]:
    return list(build_schedule(name, **{**TOY, **options}).forwards())


def test_psd_verifies_drafts_as_a_batch() -> None:
    forwards = run("psd", counts="1 4 3 2 6")
    assert column(forwards, "sequences") == column(forwards, "branches") == [1, 4, 3, 1, 4]
    assert column(forwards, "q_rows") == [24] * 5


def test_fef_drafts_then_verifies() -> None:
    forwards = run("fef", counts="0 3 0 5 0 8")
    assert column(forwards, "committed") == [0, 3, 0, 5, 0, 8]
    assert column(forwards, "provisional") == [8, 0, 5, 0, 8, 0]


def test_lanes_overlap_blocks() -> None:
    forwards = run("asynclane", counts="3 3 3 2 5")
    assert column(forwards, "kind") == ["warm", "refine", "refine", "warm", "refine"]
    assert column(forwards, "q_rows") == [24, 8, 16, 24, 8]
    assert column(forwards, "branches") == [1, 1, 2, 1, 1]
    plain = run("asynclane", fork=0.0, counts="3 3 2 3 5")
    assert column(plain, "q_rows") == [24, 8, 8, 24, 8]


@pytest.mark.parametrize("mean", [1.0, 2.5, 6.0])
def test_lanes_commit_every_token(mean: float) -> None:
    for seed in range(20):
        forwards = run("asynclane", gen=64, mean=mean, seed=seed)
        assert sum(column(forwards, "committed")) == 64
        assert column(forwards, "block_index") == sorted(column(forwards, "block_index"))


def test_drafter_and_model_alternate() -> None:
    forwards = run("bastion", nodes=20, counts="1 0 6 0 8 0 1")
    assert column(forwards, "kind") == ["prefill", *["refine"] * 6]
    assert column(forwards, "network") == ["", "drafter", ""] + ["drafter", ""] * 2
    assert column(forwards, "layers") == [0, 5, 0, 5, 0, 5, 0]
    assert column(forwards, "q_rows") == [8, 8, 21, 8, 21, 8, 21]
    # Behind 8 prompt rows and the tokens whose K/V are known: 0, 6 and 14.
    assert column(forwards, "kv_rows") == [8, 16, 29, 22, 35, 30, 43]
    assert sum(column(forwards, "committed")) == 16


def test_taps_draws_around_its_acceptance_length() -> None:
    total = summarize(build_schedule("taps", prompt=8, gen=8000))
    verified = (total["forwards"] - 1) / 2
    assert 7999 / verified == pytest.approx(8.26, rel=0.02)
    assert "TAPS, acceptance length on GSM8K" in total["commit_source"]


def test_orthrus_drafts_with_the_model_itself() -> None:
    forwards = run("orthrus", block=8, nodes=7, counts="1 0 8 0 7")
    assert set(column(forwards, "network")) == {""}
    assert column(forwards, "q_rows") == [8] * 5
    assert column(forwards, "kv_rows") == [8, 16, 16, 24, 24]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ("1 0 9 0 6", "forward 2 commits 9; expected 1 to 8"),
        ("1 2 8 0 5", "forward 1 commits 2; expected 0"),
        ("1 0 8", "ends after 3 forwards with 7 masked rows to go"),
        ("1 0 8 0 7 0", "6 counts, but the schedule ends after 5 forwards"),
    ],
)
def test_logs_that_cannot_be_are_refused(counts: str, message: str) -> None:
    with pytest.raises(WorkloadError, match=message):
        run("orthrus", counts=counts)


def test_fork_is_a_share() -> None:
    with pytest.raises(WorkloadError, match="fork is 2; expected 0 to 1"):
        build_schedule("asynclane", fork=2.0, mean=2.0, **TOY)
