"""Shapes of runs and patterns of splits: what is remembered changes no result, and is bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsim.kernel.transfer import Share
from archsim.memory.addressmap import AddressMap
from archsim.memory.delays import make_delays
from archsim.memory.hbm import HbmMemory, HbmParams
from archsim.memory.refresh import Spread
from archsim.memory.shapes import ShapeBook
from archsim.memory.timing import V80_HBM2
from archsim.units import Bytes

PERIOD = 1024 * 4 * 4


def book() -> ShapeBook:
    map_ = AddressMap(channels=8, capacity=1 << 26)
    return ShapeBook(make_delays(V80_HBM2, 2), map_, V80_HBM2.burst_bytes, Spread(PERIOD, 100_000, 0))


@given(st.integers(0, PERIOD - 1), st.integers(1, 3 * PERIOD))
def test_pages_and_what_comes_late_hold_all_data(phase: int, nbytes: int) -> None:
    shape = book().make(phase, nbytes)
    sizes = [size for _, pages in shape.sets for _, _, size in pages]
    assert sum(sizes) + shape.late_ps == shape.data_ps
    assert shape.data_ps == shape.bursts * V80_HBM2.burst_cycles * V80_HBM2.tck_ps
    assert len(sizes) == shape.pages <= 16
    assert all(size > 0 for size in sizes)


def test_pages_are_in_the_banks_that_the_address_map_names() -> None:
    shapes = book()
    begin = 5 * 128
    shape = shapes.make(begin, 4 * 128)
    found = [bank for _, pages in shape.sets for _, bank, _ in pages]
    places = [shapes.map.locate((begin + k * 128) * 8) for k in range(4)]
    assert found == [place.bank * 4 + place.bank_group for place in places]


def shares(extents: list[list[tuple[int, int]]]) -> list[list[Share]]:
    mem = HbmMemory(HbmParams(channels=8, pseudo_channels=2, timing="V80-HBM2", capacity=Bytes(1 << 26), smooth=True))
    return [mem.access(at * 50_000, each, at % 5 == 4) for at, each in enumerate(extents)]


def test_what_was_forgotten_is_worked_out_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    extents = [[(step * 3333 % 70_000, 500 + step % 9 * 700), (1 << 20, 2048)] for step in range(150)]
    expected = shares(extents)
    monkeypatch.setattr("archsim.memory.shapes.MAX_SHAPES", 2)
    monkeypatch.setattr("archsim.memory.addressmap.MAX_PATTERNS", 2)
    assert shares(extents) == expected


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archsim.memory.shapes.MAX_SHAPES", 3)
    shapes = book()
    for nbytes in range(1, 20):
        shapes.make(0, nbytes)
        assert len(shapes.known) <= 3
