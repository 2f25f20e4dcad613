"""Caching and sparsity: how each row's forwards differ from LLaDA's. Toy: 8 prompt rows, 16 generated, 8 steps."""

from __future__ import annotations

from typing import Any

import pytest

from archsim.errors import WorkloadError
from tests.workloads.oracle_rows import column
from workloads.forwards import Forward, OperatorRows
from workloads.schedules import build_schedule

TOY: dict[str, Any] = {"prompt": 8, "gen": 16, "block": 8, "steps": 8}


def run(name: str, **options: Any) -> list[Forward]:
    return list(build_schedule(name, **{**TOY, **options}).forwards())


LLADA = run("llada")


def test_dkv_prefill_sends_the_prompt_once() -> None:
    forwards = run("dkv-prefill")
    assert column(forwards, "q_rows") == [24, *[16] * 7]
    assert column(forwards, "q_start") == [0, *[8] * 7]
    assert column(forwards, "kv_rows") == column(LLADA, "kv_rows")
    assert column(forwards, "committed") == column(LLADA, "committed")


def test_dkv_pd_is_decode_without_refreshing_the_prompt() -> None:
    assert column(run("dkv-decode", refresh=2), "q_rows") == [24, 24, 24, 12, 24, 24, 24, 4]
    assert column(run("dkv-pd", refresh=2), "q_rows") == [24, 16, 16, 12, 16, 16, 16, 4]


def test_dare_reuses_after_the_first_forward() -> None:
    forwards = run("dare", reuse_kv=0.25, reuse_o=0.75)
    reusing = OperatorRows(
        first_layer=24, query=24, key=18, value=18, attention=6, feedforward=24, output=6, compared="query"
    )
    assert column(forwards, "operators") == [None, *[reusing] * 7]
    assert column(forwards, "q_rows") == column(LLADA, "q_rows")


def test_freecache_never_refreshes() -> None:
    assert column(run("freecache"), "q_rows") == [24, 16, 16, 16, 8, 8, 8, 8]
    assert column(run("llada", cache="prefix"), "q_rows") == [24, 16, 16, 16, 24, 8, 8, 8]
    assert column(run("freecache", window=12), "q_rows") == [24, 12, 12, 12, 8, 8, 8, 8]


def test_sparsed_attends_to_chosen_blocks_after_the_dense_steps() -> None:
    forwards = run("sparsed", attention_block=4, select=0.5)
    assert column(forwards, "q_rows") == [24] * 8
    # Three of four suffix blocks, and none to two of the prompt's two: 12 to 20 rows.
    assert column(forwards, "kv_rows") == [24, 24, 24, *[16] * 5]
    assert column(forwards, "score_passes") == [0, 0, 2, 0, 0, 0, 0, 0]
    assert column(forwards, "key_block") == [0, 0, *[4] * 6]
    assert column(forwards, "chosen_blocks") == [0, 0, 4, *[0] * 5]
    assert column(run("sparsed", attention_block=4, select=1.0), "kv_rows") == [24] * 8


def test_smoothing_mixes_embeddings_of_masked_rows() -> None:
    options: dict[str, Any] = {"prompt": 8, "gen": 16, "block": 8, "cache": "dual", "counts": "2 1 5 8"}
    plain = list(build_schedule("dinfer", **options).forwards())
    mixed = list(build_schedule("iteration-smoothing", **options).forwards())
    assert column(mixed, "q_rows") == column(plain, "q_rows")
    assert column(mixed, "soft_rows") == [0, 6, 5, 0]
    assert set(column(plain, "soft_rows")) == {0}
    looks: dict[str, Any] = {**options, "cache": "vicinity", "prefix_look": 2, "after_look": 2, "as_": "implemented"}
    wide = list(build_schedule("iteration-smoothing", **{**looks, "counts": "2 1 5 7 1"}).forwards())
    assert column(wide, "q_rows") == [24, 12, 12, 24, 10]
    assert column(wide, "soft_rows") == [0, 8, 7, 2, 1]


def test_maskllm_halves_the_weights() -> None:
    forwards = run("maskllm")
    assert set(column(forwards, "weight_density")) == {0.5}
    assert column(forwards, "q_rows") == column(LLADA, "q_rows")
    assert set(column(LLADA, "weight_density")) == {1.0}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("dare", {"reuse_kv": 1.0}, "reuse-kv is 1; expected 0 or more, below 1"),
        ("freecache", {"window": 4}, "window 4 with block 8; expected at least a block, or 0"),
        ("sparsed", {"select": 2.0}, "select is 2; expected 0 to 1"),
        ("maskllm", {"kept": 5}, "kept 5 of group 4; expected at most the group"),
        ("dkv-prefill", {"gen": 20}, "gen 20 with block 8; expected gen to be a multiple of block"),
        ("dkv-pd", {"steps": 7}, "steps 7 over 2 blocks; expected a multiple of the number of blocks"),
    ],
)
def test_impossible_combinations_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(WorkloadError) as caught:
        build_schedule(name, **{**TOY, **options})
    assert str(caught.value) == f"schedule {name}: {message}"
