"""Timing sets: peak rates, the row bus, and rescaling to another clock."""

from __future__ import annotations

import pytest

from archsim.errors import ConfigError
from archsim.memory.timing import HBM2_2000, HBM3_6400, LPDDR5_6400, TIMINGS, V80_HBM2, find_timing


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("HBM2-2000", 16_000_000_000),
        ("HBM3-6400", 25_600_000_000),
        ("V80-HBM2", 12_800_000_000),
        ("LPDDR5-6400", 12_800_000_000),
    ],
)
def test_peak_rate_of_a_pseudo_channel(name: str, peak: int) -> None:
    assert TIMINGS[name].peak_bytes_per_s == peak
    assert TIMINGS[name].source


def test_row_bus_cost() -> None:
    assert HBM2_2000.row_bus_ps(conflict=True) == 3000
    assert HBM2_2000.row_bus_ps(conflict=False) == 2000
    assert HBM3_6400.row_bus_ps(conflict=True) == 1250


def test_rescaling_keeps_nanoseconds_and_rounds_up() -> None:
    assert (V80_HBM2.cl, V80_HBM2.rp, V80_HBM2.ras, V80_HBM2.faw) == (12, 12, 28, 12)
    assert (V80_HBM2.rfc, V80_HBM2.refi) == (280, 3120)
    assert V80_HBM2.ccd_l == HBM2_2000.ccd_l
    for field in ("cl", "rcd_rd", "rp", "ras", "rc", "wr", "faw", "wtr_l"):
        was, now = getattr(HBM2_2000, field) * 1000, getattr(V80_HBM2, field) * 1250
        assert was <= now < was + 1250


def test_geometry() -> None:
    assert HBM2_2000.banks == 16
    assert HBM3_6400.banks == 32
    assert LPDDR5_6400.page_bytes == 2048


def test_write_batch_is_shared_by_pseudo_channels() -> None:
    assert HBM2_2000.write_batch(1) == 38
    assert HBM2_2000.write_batch(2) == 19


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"memory\.timing: 'DDR3'; expected one of HBM2-2000"):
        find_timing("DDR3")
