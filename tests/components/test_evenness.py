"""Groups of HBM accesses that pass by each other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from archsim.components.evenness import MAX_PLACES, Sweep, _cross

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
