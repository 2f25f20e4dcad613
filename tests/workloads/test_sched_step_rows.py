"""Fewer or different steps: how each row's forwards differ from LLaDA's. Toy: 8 prompt rows, 16 generated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from archsim.errors import WorkloadError
from tests.workloads.oracle_rows import Row, check, column, expand, integers, label, rows
from workloads.forwards import Forward
from workloads.schedules import build_schedule

TOY: dict[str, Any] = {"prompt": 8, "gen": 16, "block": 8}
INDICATOR = rows("schedules_ni_sampling.csv")
RHO_EOS = rows("schedules_rho_eos.csv")
DMAX = rows("schedules_dmax.csv")
EDLM = rows("schedules_edlm.csv")


def run(name: str, **options: Any) -> list[Forward]:
    return list(build_schedule(name, **{**TOY, **options}).forwards())


LLADA = run("llada")


def test_oracles_are_all_there() -> None:
    assert (len(INDICATOR), len(RHO_EOS), len(DMAX), len(EDLM)) == (11, 8, 9, 7)
    assert not any(int(row["masks_left"]) for row in INDICATOR + RHO_EOS + DMAX + EDLM)


@pytest.mark.parametrize("row", INDICATOR, ids=label)
def test_indicator_equals_the_reference(row: Row) -> None:
    options = integers(row, "prompt", "gen", "block")
    built = build_schedule("ni-sampling", **options, as_="implemented", counts=row["committed"])
    forwards = check(built, row, "q_rows", "kv_rows", "sampled_rows", "committed")
    assert column(forwards, "policy_rows") == expand(row["indicator_rows"])


@pytest.mark.parametrize("row", INDICATOR, ids=label)
def test_ideal_indicator_visits_no_full_block(row: Row) -> None:
    counts = [count for count in expand(row["committed"]) if count]
    built = build_schedule(
        "ni-sampling", **integers(row, "prompt", "gen", "block"), counts=" ".join(map(str, counts))
    )
    forwards = list(built.forwards())
    assert column(forwards, "sampled_rows") == [masked for masked in expand(row["indicator_rows"]) if masked]


@pytest.mark.parametrize("row", RHO_EOS, ids=label)
def test_rho_eos_equals_the_reference(row: Row, tmp_path: Path) -> None:
    log = tmp_path / "log"
    counts = zip(expand(row["committed"]), expand(row["resized"]), strict=True)
    lines = [json.dumps({"committed": committed, "resized": resized}) for committed, resized in counts]
    log.write_text("\n".join(lines), encoding="utf-8")
    options = integers(row, "prompt", "initial_gen", "block", "expansion_factor", "max_gen")
    built = build_schedule("rho-eos", **options, as_="implemented", commits=str(log))
    check(built, row, "q_rows", "kv_rows", "sampled_rows", "committed")


def test_indicator_sees_and_commits_rows_of_all_blocks() -> None:
    forwards = run("ni-sampling", counts="3 11 2")
    assert column(forwards, "sampled_rows") == [16, 13, 2]
    assert column(forwards, "committed") == [3, 11, 2]
    assert column(forwards, "policy_rows") == [16, 13, 2]
    # Projections 15,805,440; blocks 49,545,216 and 4 x 4,718,592; output 1,536.
    assert set(column(forwards, "policy_parameters")) == {84_226_560}
    assert set(column(run("ni-sampling", counts="3 11 2", as_="implemented"), "sampled_rows")) == {24}


def test_indicator_s_reference_visits_blocks_that_are_full() -> None:
    assert column(run("ni-sampling", counts="3 13 0", as_="implemented"), "committed") == [3, 13, 0]
    with pytest.raises(WorkloadError, match="3 counts, but the schedule ends after 2 forwards"):
        run("ni-sampling", counts="3 13 0")


def test_learned_policy_sees_the_block() -> None:
    forwards = run("learned-policy", counts="3 5 8")
    assert column(forwards, "sampled_rows") == [8, 8, 8]
    assert set(column(forwards, "policy_parameters")) == {801_558}
    with pytest.raises(WorkloadError, match="forward 0 commits 9; expected 1 to 8"):
        run("learned-policy", counts="9 7")


def test_exploring_crosses_blocks_and_tries_reveals() -> None:
    forwards = run("explore-exploit", explore=2, branches=3, counts="9 2 4 1")
    assert column(forwards, "committed") == [9, 2, 4, 1]
    assert column(forwards, "sequences") == [1, 3, 1, 3]
    assert column(forwards, "sampled_rows") == [16, 8, 8, 8]


def test_stability_compares_with_the_forward_before() -> None:
    forwards = run("stability-weighted", steps=8)
    assert column(forwards, "compared_rows") == [0, 8, 8, 8, 0, 8, 8, 8]
    assert column(run("stability-weighted", steps=8, as_="implemented"), "compared_rows") == [0, *[24] * 7]
    assert column(forwards, "q_rows") == column(run("llada", steps=8), "q_rows")


def test_a_scaffold_leaves_fewer_rows_to_denoise() -> None:
    forwards = run("schema-scaffold", filled=2)
    assert column(forwards, "committed") == [1] * 12
    assert len(forwards) == len(LLADA) - 4
    assert run("schema-scaffold", filled=0) == LLADA


def test_context_initialisation_drafts_with_a_helper_first() -> None:
    forwards = run("context-init", filled=2)
    drafts, denoising = forwards[:16], forwards[16:]
    assert column(drafts, "kind") == ["prefill", *["decode"] * 15]
    assert {(forward.network, forward.layers) for forward in drafts} == {("initializer", 4)}
    assert sum(column(drafts, "provisional")) == 16
    assert column(denoising, "committed") == [1] * 12
    assert sum(column(forwards, "committed")) == 16
    assert column(forwards, "index") == list(range(28))


def test_context_initialisation_saves_35_percent_of_the_forwards() -> None:
    denoising = [forward for forward in run("context-init", gen=256, block=32) if not forward.network]
    assert 1 - len(denoising) / 256 == pytest.approx(0.35, abs=0.01)


def test_rho_eos_grows_and_shrinks() -> None:
    options: dict[str, Any] = {"prompt": 8, "initial_gen": 16, "block": 8, "max_gen": 40}
    forwards = list(build_schedule("rho-eos", **options, counts="2+16 3-8 1+16 8x4 2").forwards())
    assert column(forwards, "q_rows") == [24, 40, 32, 48, 48, 48, 48, 48]
    assert sum(column(forwards, "committed")) == 40
    assert column(forwards, "sampled_rows") == [16, 32, 24, 40, 40, 40, 40, 40]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ("2+5", "forward 0 resizes 16 rows by 5; expected 8, 16, 32, 64 rows in the first 64 forwards"),
        ("2-32", "forward 0 resizes 16 rows by -32"),
        ("1+0x64 8+8", "forward 64 resizes"),
    ],
)
def test_rho_eos_changes_by_its_steps(counts: str, message: str) -> None:
    gen = 72 if "x64" in counts else 16
    built = build_schedule("rho-eos", prompt=8, initial_gen=gen, block=8, counts=counts)
    with pytest.raises(WorkloadError, match=message):
        list(built.forwards())


def test_model_scheduling_saves_a_sixth_of_twelve_layers() -> None:
    forwards = run("model-scheduling", gen=1000, block=1000, steps=1000)
    light = [forward for forward in forwards if forward.network]
    assert [forward.index for forward in light] == [*range(125), *range(875, 1000)]
    layers = sum(forward.layers or 12 for forward in forwards)
    assert 1 - layers / 12_000 == pytest.approx(0.167, abs=0.001)
    with pytest.raises(WorkloadError, match="cache dual, whose K/V are another model's; expected cache none"):
        run("model-scheduling", cache="dual")


@pytest.mark.parametrize("row", EDLM, ids=label)
def test_edlm_equals_the_reference(row: Row) -> None:
    options: dict[str, Any] = integers(row, "gen", "steps", "candidates")
    options |= {key: float(row[key]) for key in ("window_start", "window_end")}
    built = build_schedule("edlm", **options, as_="implemented", counts=row["committed"])
    forwards = check(built, row, "q_rows", "kv_rows", "sequences", "committed")
    assert [int(forward.network == "energy") for forward in forwards] == expand(row["energy"])


def test_edlm_scores_candidates_inside_its_window() -> None:
    options: dict[str, Any] = {"prompt": 0, "gen": 16, "steps": 10}
    built = build_schedule("edlm", **options, counts="2 2 2 1 0 1 0 1 0 1 6")
    forwards = list(built.forwards())
    # Of 16, 14, 12, 10, 9, 8, 7 and 6 masked rows 9 to 7 are 0.4 to 0.6 of the canvas.
    assert column(forwards, "network") == ["", "", "", "", "", "energy", "", "energy", "", "energy", ""]
    assert column(forwards, "committed") == [2, 2, 2, 1, 0, 1, 0, 1, 0, 1, 6]
    energy = [forward for forward in forwards if forward.network]
    assert {(forward.sequences, forward.q_rows, forward.sampled_rows) for forward in energy} == {(2, 16, 16)}
    implemented = build_schedule("edlm", **options, counts="2 2 2 1 0 1 0 1 0 1 6 0", as_="implemented")
    assert column(implemented.forwards(), "committed") == [2, 2, 2, 1, 0, 1, 0, 1, 0, 1, 6, 0]


def test_edlm_draws_need_forwards_only_behind_changes() -> None:
    for seed in range(20):
        forwards = list(build_schedule("edlm", gen=16, steps=128, seed=seed).forwards())
        assert sum(column(forwards, "committed")) == 16
        assert sum(not forward.network for forward in forwards) <= 16
        scored = [forward for forward, then in zip(forwards, forwards[1:], strict=False) if then.network]
        assert not any(column(scored, "committed"))
        wasteful = list(build_schedule("edlm", gen=16, steps=128, seed=seed, as_="implemented").forwards())
        assert column(wasteful[len(forwards) :], "committed") in ([0], [0, 0], [0, 0, 0])


def test_joint_sampling_commits_one_token_a_pass() -> None:
    forwards = run("joint-sampling")
    assert column(forwards, "network") == ["", "sampler", "sampler", "sampler"] * 4
    assert column(forwards, "layers") == [0, 1, 1, 1] * 4
    assert column(forwards, "committed") == [1] * 16


@pytest.mark.parametrize("row", DMAX, ids=label)
def test_dmax_equals_the_reference(row: Row) -> None:
    options = {**integers(row, "prompt", "gen", "block"), "threshold": float(row["threshold"])}
    built = build_schedule("dmax", **options, as_="implemented", counts=row["committed"])
    forwards = check(built, row, "q_rows", "kv_rows", "committed", "soft_rows", "block_index")
    assert sum(column(forwards, "committed")) == int(row["generated"])


def test_dmax_predicts_every_row_again_and_stores_with_the_next_block() -> None:
    forwards = run("dmax", counts="0 3 5 0 8")
    assert column(forwards, "q_rows") == [8, 8, 8, 8, 16]
    assert column(forwards, "sampled_rows") == [0, 8, 8, 8, 8]
    assert column(forwards, "soft_rows") == [0, 0, 3, 8, 0]
    assert column(forwards, "soft_terms") == [0, 0, 2, 2, 0]
    assert column(run("dmax", counts="0 8 0 0 8 0"), "block_index") == [0, 0, 0, 0, 1, 1]
    with pytest.raises(WorkloadError, match="10 counts, but the schedule ends after 9 forwards"):
        run("dmax", gen=8, counts="0 8 0x8")


def test_guider_reads_what_the_model_proposes() -> None:
    forwards = run("guided-diffusion", counts="0 3 0 5 0 8")
    assert column(forwards, "network") == ["", "guider"] * 3
    assert column(forwards, "q_rows") == [24, 8] * 3
    assert column(forwards, "kv_rows") == [24, 15, 24, 15, 24, 23]
    with pytest.raises(WorkloadError, match="forward 0 commits 3; expected 0"):
        run("guided-diffusion", counts="3 5 8")


def test_hex_runs_every_block_size() -> None:
    forwards = list(build_schedule("hex", prompt=8, gen=16, block_sizes="4 8", votes=2).forwards())
    assert len(forwards) == 4 * len(LLADA)
    assert column(forwards, "head_rows") == [4] * 32 + [8] * 32
    assert (sum(column(forwards, "committed")), sum(column(forwards, "provisional"))) == (16, 48)
    assert column(forwards, "block_index") == sorted(column(forwards, "block_index"))


def test_consistency_needs_a_sixteenth_of_the_steps() -> None:
    forwards = list(build_schedule("consistency", prompt=8, gen=64).forwards())
    assert column(forwards, "committed") == [16] * 4
    assert column(forwards, "q_rows") == [72] * 4


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("schema-scaffold", {"filled": 8}, "filled 8 with block 8; expected fewer rows than a block has"),
        ("model-scheduling", {"light_first": 0.8, "light_last": 0.5}, "light-first 0.8 and light-last 0.5; expected "),
        ("guided-diffusion", {}, "commit counts depend on the data, and no mean is published for these options; "),
        ("learned-policy", {"mean": 0.5}, "mean is 0.5; expected at least 1 token per forward"),
        ("learned-policy", {"mean": 2.0, "counts": "8 8"}, "both counts and mean are given; expected one of them"),
        ("dmax", {"top_k": 0}, "top-k is 0; expected an integer of at least 1"),
    ],
)
def test_impossible_combinations_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(WorkloadError) as caught:
        build_schedule(name, **{**TOY, **options})
    assert str(caught.value).startswith(f"schedule {name}: {message}")


def test_hex_and_edlm_refuse_too() -> None:
    with pytest.raises(WorkloadError, match="schedule llada: gen 16 with block 5"):
        build_schedule("hex", prompt=8, gen=16, block_sizes="4 5")
    with pytest.raises(WorkloadError, match="block-sizes is ''; expected block sizes such as 8 16 32"):
        build_schedule("hex", prompt=8, gen=16, block_sizes="")
    with pytest.raises(WorkloadError, match=r"window-start 0.2 and window-end 0.4"):
        build_schedule("edlm", gen=16, window_start=0.2)
