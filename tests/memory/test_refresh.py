"""Refresh windows: closed form against a walk over windows, and the bound they never beat."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsim.errors import ConfigError
from archsim.memory.refresh import Refresh, make_refresh
from archsim.memory.timing import HBM2_2000


def tiny(offset: int = 0) -> Refresh:
    return Refresh(100, 30, 20, closes_rows=True, offset_ps=offset)


def test_window_edges() -> None:
    refresh = tiny()
    assert refresh.advance(0, 70) == 70
    assert refresh.advance(0, 71) == 101
    assert refresh.align(69) == 69
    assert refresh.align(70) == 100
    assert refresh.align(99) == 100
    assert refresh.align(100) == 100
    assert (refresh.epoch(69), refresh.epoch(70), refresh.epoch(170)) == (0, 1, 2)
    assert refresh.quiet(1) == (100, 170)


@given(st.integers(0, 1000), st.integers(1, 1000), st.integers(0, 250))
def test_advance_equals_a_walk(start: int, need: int, offset: int) -> None:
    now = start
    while need:
        if (now + offset) % 100 < 70:
            need -= 1
        now += 1
    assert tiny(offset).advance(start, now - start and _usable(start, now, offset)) == now


def _usable(start: int, end: int, offset: int) -> int:
    return sum((t + offset) % 100 < 70 for t in range(start, end))


@given(st.integers(1, 5000))
def test_no_run_beats_the_bound(need: int) -> None:
    refresh = tiny()
    assert refresh.free_ps(refresh.advance(0, need)) >= need


def test_modes() -> None:
    refresh = make_refresh(HBM2_2000, "all-bank")
    assert (refresh.interval_ps, refresh.loss_ps, refresh.cycle_ps) == (3_900_000, 383_000, 350_000)
    assert refresh.free_ps(3_899_999) == 3_899_999
    assert refresh.free_ps(3_900_000) == 3_550_000
    assert make_refresh(HBM2_2000, "off").free_ps(10**9) == 10**9
    assert make_refresh(HBM2_2000, "per-bank").free_ps(10**9) == 10**9
    with pytest.raises(ConfigError, match=r"memory\.refresh: 'some'; expected one of all-bank"):
        make_refresh(HBM2_2000, "some")
