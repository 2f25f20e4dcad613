"""LLaDA schedule: commit split, positions for the lowering, refusals."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsim.errors import WorkloadError
from workloads.schedules import LladaSchedule, build_schedule
from workloads.schedules.counts import transfer_counts

TOY: dict[str, Any] = {"prompt": 8, "gen": 16, "block": 8, "steps": 8}


def column(built: LladaSchedule, name: str) -> list[Any]:
    return [getattr(forward, name) for forward in built.forwards()]


@pytest.mark.parametrize(
    ("masked", "steps", "counts"),
    [(16, 8, (2,) * 8), (8, 3, (3, 3, 2)), (32, 5, (7, 7, 6, 6, 6)), (2, 4, (1, 1, 0, 0))],
)
def test_remainder_goes_to_the_first_steps(masked: int, steps: int, counts: tuple[int, ...]) -> None:
    assert transfer_counts(masked, steps) == counts


@pytest.mark.parametrize(
    ("cache", "starts", "rows"),
    [
        ("none", [0] * 8, [24] * 8),
        ("prefix", [0, 8, 8, 8, 0, 16, 16, 16], [24, 16, 16, 16, 24, 8, 8, 8]),
        ("dual", [0, 8, 8, 8, 0, 16, 16, 16], [24, 8, 8, 8, 24, 8, 8, 8]),
    ],
)
def test_written_rows_are_the_query_rows(cache: str, starts: list[int], rows: list[int]) -> None:
    built = LladaSchedule(**TOY, cache=cache)
    assert column(built, "q_start") == column(built, "write_start") == starts
    assert column(built, "q_rows") == column(built, "write_rows") == rows
    assert column(built, "head_start") == column(built, "block_start") == [8] * 4 + [16] * 4


def test_kinds_and_steps() -> None:
    built = LladaSchedule(**TOY, cache="dual")
    assert column(built, "kind") == ["warm", "refine", "refine", "refine"] * 2
    assert column(LladaSchedule(**TOY), "kind") == ["full"] * 8
    assert column(built, "index") == list(range(8))
    assert column(built, "block_index") == [0] * 4 + [1] * 4
    assert column(built, "step_in_block") == [0, 1, 2, 3] * 2


def test_implemented_head_covers_the_query_rows() -> None:
    built = LladaSchedule(**TOY, cache="prefix", as_="implemented")
    assert column(built, "head_start") == column(built, "q_start")
    assert column(built, "head_rows") == column(built, "q_rows")


@pytest.mark.parametrize(("as_", "commits"), [("ideal", [1]), ("implemented", [1, 0])])
def test_reference_refines_once_even_an_empty_block(as_: str, commits: list[int]) -> None:
    built = LladaSchedule(prompt=4, gen=3, block=1, steps=6, cache="dual", as_=as_)
    assert column(built, "committed") == commits * 3


@pytest.mark.parametrize("cache", ["prefix", "dual"])
def test_cached_block_ends_when_empty_and_uncached_runs_all_steps(cache: str) -> None:
    options = {**TOY, "steps": 32}
    assert column(LladaSchedule(**options, cache=cache), "committed") == [1] * 16
    assert column(LladaSchedule(**options), "committed") == ([1] * 8 + [0] * 8) * 2


def test_defaults_are_pure_diffusion_with_a_step_a_token() -> None:
    built = LladaSchedule(prompt=8, gen=16)
    assert (built.block, built.steps, built.cache, built.as_) == (16, 16, "none", "ideal")


def test_guidance_doubles_the_batch() -> None:
    assert LladaSchedule(**TOY, batch=3).sequences == 3
    assert LladaSchedule(**TOY, batch=3, cfg_scale=0.5).sequences == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block": 5}, "gen 16 with block 5; expected gen to be a multiple of block"),
        ({"block": 32}, "gen 16 with block 32; expected gen to be a multiple of block"),
        ({"steps": 7}, "steps 7 over 2 blocks; expected a multiple of the number of blocks"),
        ({"steps": 1}, "steps 1 over 2 blocks; expected a multiple of the number of blocks"),
        ({"steps": 0}, "steps is 0; expected an integer of at least 1"),
        ({"prompt": -1}, "prompt is -1; expected an integer of at least 0"),
        ({"batch": True}, "batch is True; expected an integer of at least 1"),
        ({"cache": "full"}, "cache is 'full'; expected one of none, prefix, dual"),
        ({"remasking": "top"}, "remasking is 'top'; expected one of low_confidence, random"),
        ({"cfg_scale": -1.0}, "cfg-scale is -1.0; expected a finite number of at least 0"),
        ({"as_": "is"}, "as is 'is'; expected one of ideal, implemented"),
    ],
)
def test_impossible_combinations_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(WorkloadError) as caught:
        LladaSchedule(**{**TOY, **options})
    assert str(caught.value) == f"schedule llada: {message}"


@given(
    prompt=st.integers(0, 40), block=st.integers(1, 12), blocks=st.integers(1, 5), steps=st.integers(1, 20),
    cache=st.sampled_from(["none", "prefix", "dual"]), as_=st.sampled_from(["ideal", "implemented"]),
)
def test_every_token_is_committed_once(
    prompt: int, block: int, blocks: int, steps: int, cache: str, as_: str
) -> None:
    if as_ == "implemented" and cache != "none" and steps == 1:
        return
    gen = block * blocks
    built = build_schedule(
        "llada", prompt=prompt, gen=gen, block=block, steps=steps * blocks, cache=cache, as_=as_
    )
    forwards = list(built.forwards())
    assert [forward.index for forward in forwards] == list(range(len(forwards)))
    for number in range(blocks):
        mine = [forward for forward in forwards if forward.block_index == number]
        assert sum(forward.committed for forward in mine) == block
        assert mine[0].q_rows == prompt + gen
    for forward in forwards:
        end = forward.q_start + forward.q_rows
        assert forward.q_start <= forward.head_start
        assert forward.head_start + forward.head_rows <= end <= forward.kv_rows
    assert built.describe()["tokens"] == gen
    assert build_schedule("llada", **built.params) == built
