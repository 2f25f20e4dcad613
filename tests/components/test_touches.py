"""What is written to a log does not depend on when, or with what period, a repetition was noticed."""

from __future__ import annotations

from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from archsim.components.touches import LOAD, OPAQUE, PRODUCT, STORE, LogEntry, Swept, moved_back, single

ACCESS = st.tuples(st.integers(0, 4), st.integers(1000, 9000), st.integers(1, 64), st.booleans(), st.integers(-9, 9))
WORD = st.tuples(
    st.sampled_from([LOAD, PRODUCT]),
    st.integers(1000, 9000),
    st.integers(1000, 9000),
    st.just(False),
    st.integers(-9, 9),
)
VALUE = st.tuples(
    st.sampled_from([STORE, OPAQUE]), st.integers(0, 99), st.integers(1000, 9000), st.just(True), st.just(0)
)
BODY = st.lists(st.one_of(ACCESS, WORD, VALUE), min_size=1, max_size=6)
FIRST: list[LogEntry] = [(0, 5, 5, True), (LOAD, 7, 7, False)]


def iteration(body: list[tuple[int, int, int, bool, int]], index: int) -> list[LogEntry]:
    return [(what, where + index * move, much, write) for what, where, much, write, move in body]


def written(body: list[tuple[int, int, int, bool, int]], lag: int, seen: int, times: int, rest: int) -> list[LogEntry]:
    """The log of `seen` iterations, `times` * `lag` skipped ones, and `rest` more."""
    log = FIRST + [entry for index in range(seen) for entry in iteration(body, index)]
    size = lag * len(body)
    one, count = single(log[-2 * size : -size], log[-size:], lag)
    swept = Swept.behind(log, 0, *one, times * count)
    swept.write(log)
    for index in range(rest):
        log += iteration(body, seen + times * lag + index)
    swept.go_on(log)
    return log


@given(BODY, st.integers(1, 3), st.integers(0, 3), st.integers(0, 2))
def test_the_log_is_the_same_however_soon_and_with_whatever_period(
    body: list[tuple[int, int, int, bool, int]], lag: int, later: int, rest: int
) -> None:
    seen = 2 * lag + later
    total = seen + 4 * lag + rest
    assert written(body, lag, seen, 4, rest) == written(body, 1, 2, total - 2, 0)


@given(BODY, st.integers(2, 3))
def test_iterations_that_differ_stay_together(body: list[tuple[int, int, int, bool, int]], lag: int) -> None:
    both = [iteration(body, index) for index in range(2 * lag)]
    both[0] = [(entry[0], entry[1] + 100, *entry[2:]) for entry in both[0]]
    earlier, last = (list(chain(*both[i : i + lag])) for i in (0, lag))
    assert single(earlier, last, lag) == ((earlier, last), 1)


def test_nothing_before_the_floor_is_written_anew() -> None:
    body = [(0, 1000, 8, False, 16)]
    log = [entry for index in range(6) for entry in iteration(body, index)]
    swept = Swept.behind(log, 3, iteration(body, 4), iteration(body, 5), 2)
    swept.write(log)
    assert log == [(0, 1000 + 16 * index, 8, False) for index in range(3)] + [(0, 1048, 4 * 16 + 8, False)]


def test_an_iteration_moved_back_is_an_earlier_one() -> None:
    body = [(0, 1000, 8, False, 16), (LOAD, 50, 7, False, 1)]
    first, second, fifth = (iteration(body, index) for index in (0, 1, 4))
    assert moved_back(first, iteration(body, 3), fifth, 4)
    assert not moved_back(second, iteration(body, 3), fifth, 4)
