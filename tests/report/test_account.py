from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsim.report import account
from tests.report.sample import sample


@given(st.lists(st.integers(0, 10**15), min_size=1, max_size=12))
def test_shares_add_up_exactly_and_stay_next_to_the_true_share(parts: list[int]) -> None:
    shares = account.tenths(parts)
    total = sum(parts)
    assert sum(shares) == (1000 if total else 0)
    for part, share in zip(parts, shares, strict=True):
        assert not total or abs(share * total - 1000 * part) < total


def test_the_largest_remainder_gets_the_rest_and_ties_go_to_the_earlier() -> None:
    assert account.tenths([1, 1, 1]) == [334, 333, 333]
    assert account.tenths([1, 2, 4]) == [143, 286, 571]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("core0.vector", "vector"),
        ("core12.dma3", "dma"),
        ("hbm.channel63", "hbm.channel"),
        ("core0", "core0"),
        ("noc", "noc"),
    ],
)
def test_the_kind_of_a_unit_is_its_path_without_core_and_numbers(path: str, kind: str) -> None:
    assert account.kind_of(path) == kind


def test_like_units_add_up_over_cores() -> None:
    kinds = {kind.name: kind for kind in account.unit_kinds(sample())}
    assert list(kinds) == ["tensor", "dma", "kv"]
    assert kinds["tensor"].label == "tensor x2"
    assert (kinds["dma"].busy, kinds["dma"].stalls["noc"], kinds["dma"].idle) == (5_400_000, 300_000, 299_997)
    assert all(sum(kind.parts) == 2 * sample().cycles for kind in kinds.values())


@pytest.mark.parametrize(
    ("operator", "group"),
    [
        ("attention", "transformer"),
        ("softmax", "transformer"),
        ("kv_proj", "transformer"),
        ("qkv", "transformer"),
        ("lm_head", "transformer"),
        ("sampling", "sampling"),
        ("sample_topk", "sampling"),
        ("kv_store", "kv"),
        ("", "other"),
    ],
)
def test_groups_of_operators(operator: str, group: str) -> None:
    assert account.group_of(operator) == group


def test_group_times_keep_all_the_time() -> None:
    times = account.group_times(sample().phases)
    assert times == {"transformer": 1_800_000_000, "sampling": 400_000_000, "kv": 800_000_000, "other": 0}


def test_cache_refresh_is_what_warm_takes_beyond_as_many_refine_steps() -> None:
    result = sample()
    assert account.refresh_extra_ps(result.steps) == 10**9
    assert account.refresh_extra_ps(result.steps[:1]) is None


@pytest.mark.parametrize(
    ("tokens", "time_ps", "rate"),
    [(3, 3 * 10**9, 1000.0), (1, 3 * 10**12, 0.333333), (2, 3 * 10**12, 0.666667), (5, 0, 0.0)],
)
def test_tokens_per_second_has_six_digits(tokens: int, time_ps: int, rate: float) -> None:
    assert account.tokens_per_second(sample(committed_tokens=tokens, time_ps=time_ps)) == rate


def test_ratios_round_half_up_and_survive_an_empty_run() -> None:
    assert [account.ratio_tenths(part, 2000) for part in (0, 1, 2, 3, 2000)] == [0, 1, 1, 2, 1000]
    assert account.ratio_tenths(5, 0) == 0
    assert account.per_second(5, 0) == 0
