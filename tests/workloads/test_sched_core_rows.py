"""SMDM, LongLLaDA and the block-causal family: what their definitions say, beside LLaDA and Dream."""

from __future__ import annotations

import math
from typing import Any

import pytest

from archsim.errors import WorkloadError
from tests.workloads.oracle_rows import Row, check, column, integers, label, rows
from workloads.forwards import Forward, header
from workloads.schedules import build_schedule

TOY: dict[str, Any] = {"prompt": 8, "gen": 16}
SMDM = rows("schedules_smdm.csv")
LLADA2 = rows("schedules_llada2.csv")
LLADA21 = rows("schedules_llada21.csv")


def run(name: str, **options: Any) -> list[Forward]:
    return list(build_schedule(name, **{**TOY, **options}).forwards())


def test_oracles_are_all_there() -> None:
    assert (len(SMDM), len(LLADA2), len(LLADA21)) == (11, 11, 10)
    assert not any(int(row["masks_left"]) for row in SMDM + LLADA2 + LLADA21)


@pytest.mark.parametrize("row", SMDM, ids=label)
def test_smdm_equals_the_reference(row: Row) -> None:
    options: dict[str, Any] = {**integers(row, "prompt", "gen", "steps"), "alg": row["alg"], "as_": "implemented"}
    if row["alg"] == "origin":  # whose commits are draws of its own
        options["counts"] = row["committed"]
    built = build_schedule("smdm", **options, eps=float(row["eps"]), cfg_scale=float(row["cfg_scale"]))
    forwards = check(built, row, "q_rows", "kv_rows", "sampled_rows", "committed")
    assert set(column(forwards, "sequences")) == {int(row["batch"])}


@pytest.mark.parametrize("row", LLADA2, ids=label)
def test_llada2_without_cache_equals_the_reference(row: Row) -> None:
    options = {**integers(row, "prompt", "gen", "block", "block_steps"), "threshold": float(row["threshold"])}
    built = build_schedule("llada2", **options, cache="off", as_="implemented", counts=row["committed"])
    forwards = check(built, row, "q_rows", "kv_rows", "sampled_rows", "committed")
    assert sum(column(forwards, "committed")) == int(row["generated"])


@pytest.mark.parametrize("row", LLADA21, ids=label)
def test_llada21_without_cache_equals_the_reference(row: Row) -> None:
    options: dict[str, Any] = integers(row, "prompt", "gen", "block", "post_forwards")
    options |= {key: float(row[key]) for key in ("threshold", "edit_threshold")}
    built = build_schedule("llada2.1", **options, cache="off", as_="implemented", counts=row["committed"])
    forwards = check(built, row, "q_rows", "kv_rows", "sampled_rows", "committed", "block_index")
    assert sum(column(forwards, "committed")) == int(row["generated"])


def test_smdm_is_dream_twice_without_the_shift() -> None:
    dream, smdm = run("dream", steps=8), run("smdm", steps=8)
    for name in ("q_rows", "kv_rows", "sampled_rows", "committed"):
        assert column(smdm, name) == column(dream, name)
    assert set(column(smdm, "sequences")) == {2}
    assert set(column(smdm, "head_start")) == {8}
    assert set(column(dream, "head_start")) == {7}
    assert set(column(run("smdm", cfg_scale=0.0), "sequences")) == {1}
    assert sum(column(run("smdm", alg="origin", seed=2), "committed")) == 16


def test_longllada_has_llada_s_rows_and_another_base() -> None:
    assert run("longllada") == run("llada")
    short = build_schedule("longllada", prompt=2048, gen=2048)
    long = build_schedule("longllada", prompt=16384 - 256, gen=256)
    assert short.describe()["rope_theta"] == 500000
    # d = 128, b = 5e5: c = 2 ceil(64 log_b(4096 / 2 pi)) = 64, so theta = (16384 / 2 pi) ** 2.
    assert long.describe()["rope_theta"] == round((16384 / (2 * math.pi)) ** 2)
    assert build_schedule("longllada", scaling=4.0, **TOY).describe()["rope_theta"] == 2_000_000


def test_llada2_denoises_blocks_behind_exact_keys_and_values() -> None:
    forwards = run("llada2", block=8, counts="0 3 1 4 0 8 0")
    assert column(forwards, "kind") == ["prefill", *["refine"] * 3, "store", "refine", "store"]
    assert column(forwards, "q_rows") == [8] * 7
    assert column(forwards, "kv_rows") == [8, 16, 16, 16, 16, 24, 24]
    assert column(forwards, "head_rows") == [0, 8, 8, 8, 0, 8, 0]


def test_llada2_without_cache_sends_everything_up_to_the_block_s_end() -> None:
    forwards = run("llada2", block=8, cache="off", counts="3 1 4 8")
    assert column(forwards, "q_rows") == column(forwards, "kv_rows") == [16, 16, 16, 24]
    assert set(column(forwards, "kind")) == {"full"}


def test_llada2_commits_its_share_of_the_steps() -> None:
    with pytest.raises(WorkloadError, match="forward 1 commits 3; expected 4 to 8"):
        run("llada2", block=8, block_steps=2, counts="0 3 5 0 8 0")


def test_llada2_prompt_tail_stands_in_the_first_block() -> None:
    forwards = run("llada2", prompt=70, gen=64, mean=4.0)
    assert sum(column(forwards, "committed")) == 90  # 160 rows, of which 70 are the prompt's
    assert forwards[0].q_rows == 64


def test_llada21_samples_the_block_until_nothing_changes() -> None:
    forwards = run("llada2.1", block=8, counts="0 5 3 0 0 0 8 0")
    assert column(forwards, "committed") == [0, 5, 3, 0, 0, 0, 8, 0]
    assert column(forwards, "block_index") == [0] * 6 + [1] * 2
    assert column(forwards, "sampled_rows") == [0, *[8] * 7]
    wide = run("llada2.1", block=8, revisit=1, counts="0 8 0 8 0")
    assert column(wide, "q_rows") == [8, 16, 16, 16, 16]
    assert column(wide, "kv_rows") == [8, 16, 16, 24, 24]


def test_llada21_speedy_mode_has_its_published_mean() -> None:
    total = build_schedule("llada2.1", prompt=32, gen=32 * 400, threshold=0.5, edit_threshold=0.0).describe()
    assert 32 * 400 / (total["forwards"] - 1) == pytest.approx(5.93, rel=0.01)


def test_llada21_revisits_blocks_of_the_cache_only() -> None:
    with pytest.raises(WorkloadError, match="revisit 1 with cache off, which sends every block; expected cache on"):
        build_schedule("llada2.1", revisit=1, cache="off", mean=4.0, **TOY)


def test_llada21_edits_a_limited_number_of_times() -> None:
    with pytest.raises(WorkloadError, match="counts: 9 counts, but the schedule ends after 8 forwards"):
        run("llada2.1", gen=8, block=8, post_forwards=6, counts="0 8 0x7")


@pytest.mark.parametrize("name", ["seed-diffusion", "efficient-dlm", "nbdiff"])
def test_abstracts_say_block_causal_and_no_counts(name: str) -> None:
    same = run("llada2", block=8, mean=3.0)
    assert run(name, block=8, mean=3.0) == same
    assert "abstract only" in header(build_schedule(name, block=8, mean=3.0, **TOY))["evidence"]
    with pytest.raises(WorkloadError, match=r"no mean is published for these options; expected commits FILE, counts"):
        build_schedule(name, **TOY)
