"""Groups of HBM accesses that pass by each other."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsim.components.evenness import HBM, MAX_PLACES, Evenness, Sweep, _cross
from archsim.components.touches import IDS, LogEntry

SPANS = st.tuples(st.integers(0, 60), st.integers(1, 6)).map(lambda span: (span[0], span[0] + span[1]))


@given(SPANS, st.integers(-9, 9), SPANS, st.integers(-9, 9), st.integers(1, 6))
def test_groups_cross_where_any_of_their_places_overlap(
    one: tuple[int, int], move: int, other: tuple[int, int], move2: int, times: int
) -> None:
    if move == move2:
        return
    places = range(times + 1)
    expected = any(
        one[0] + i * move < other[1] + j * move2 and other[0] + j * move2 < one[1] + i * move
        for i in places
        for j in places
    )
    assert _cross(Sweep(*one), move, Sweep(*other), move2, times) == expected


def test_too_many_places_count_as_crossing() -> None:
    assert _cross(Sweep(0, 1), 2, Sweep(1, 2), 0, MAX_PLACES + 1)
    assert not _cross(Sweep(0, 1), 2, Sweep(1, 2), 0, MAX_PLACES)


def front() -> Any:
    """As much of a front end as the comparison asks: four SRAM spaces and an HBM of 1 GiB."""
    return SimpleNamespace(
        geometry=SimpleNamespace(vlen=64), limits=[1 << 20] * 4 + [1 << 30], loaded=None, stored=set(), int_mem=[]
    )


def iteration(number: int, small: int) -> list[LogEntry]:
    """A large read that keeps its bank, and a small write that moves on by 4 KiB."""
    return [(HBM, number << 20, 1 << 20, False), (HBM, (1 << 29) + number * 4096, small, True)]


@pytest.mark.parametrize(("forgiving", "small", "times"), [(False, 4096, 0), (True, 4096, 7), (True, 1 << 15, 0)])
def test_a_small_part_may_move_to_other_banks_where_that_is_forgiven(forgiving: bool, small: int, times: int) -> None:
    """Strictly it may not at all, and a thirty-third of the bytes is too much."""
    found = Evenness([front()], 1 << 20, forgiving)
    compared = found.compare(0, iteration(0, small), iteration(1, small))
    assert compared == forgiving
    assert (found.limit(7) if compared else 0) == times
    assert found.forgave == forgiving


def test_nothing_is_forgiven_where_all_moves_keep_their_banks() -> None:
    found = Evenness([front()], 4096, forgiving=True)
    assert found.compare(0, iteration(0, 4096), iteration(1, 4096))
    assert found.limit(7) == 7
    assert not found.forgave


@pytest.mark.parametrize(("row", "alike"), [((HBM, 1 << 20, 128, False), True), ((0, 0, 128, False), False)])
def test_rows_of_other_ids_may_be_anywhere_but_are_rows(row: LogEntry, alike: bool) -> None:
    found = Evenness([front()], 1 << 20, forgiving=True)
    assert found.compare(0, [(IDS, 0, 1, False), row], [(IDS, 8, 1, False), (HBM, 77, 128, False)]) is alike
    assert found.odd_bytes == 128 * alike
