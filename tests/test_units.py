"""Quantities: exact in, exact out, everything else refused with the whole message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsim import units
from archsim.errors import ConfigError

PAIRS = [
    (units.parse_time, units.format_time),
    (units.parse_size, units.format_size),
    (units.parse_frequency, units.format_frequency),
    (units.parse_bandwidth, units.format_bandwidth),
]


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (units.parse_time, "1250 ps", 1250),
        (units.parse_time, "3.9 us", 3_900_000),
        (units.parse_time, "0 s", 0),
        (units.parse_size, "8 MiB", 8 * 2**20),
        (units.parse_size, "1_024 B", 1024),
        (units.parse_size, "0.5 KiB", 512),
        (units.parse_size, "1 kB", 1000),
        (units.parse_frequency, "1.25 GHz", 1_250_000_000),
        (units.parse_bandwidth, "819.2 GB/s", 819_200_000_000),
        (units.parse_bandwidth, "1 GiB/s", 2**30),
    ],
)
def test_parse(parse, text, value):
    assert parse(text) == value


@pytest.mark.parametrize(("parse", "form"), PAIRS)
@given(value=st.integers(min_value=0, max_value=2**70))
def test_format_is_exact(parse, form, value):
    assert parse(form(value)) == value


@pytest.mark.parametrize(
    ("form", "value", "text"),
    [
        (units.format_time, 1500, "1500 ps"),
        (units.format_time, 2_000_000, "2 us"),
        (units.format_size, 8 * 2**20, "8 MiB"),
        (units.format_size, 3000, "3 kB"),
        (units.format_frequency, 1_410_000_000, "1410 MHz"),
        (units.format_bandwidth, 12_000_000_000, "12 GB/s"),
        (units.format_bandwidth, 2**30, "1 GiB/s"),
        (units.format_bandwidth, 819_200_000_000, "819.2 GB/s"),
        (units.format_bandwidth, 0, "0 B/s"),
        (units.format_time, 0, "0 ps"),
    ],
)
def test_format_takes_the_largest_whole_unit(form, value, text):
    assert form(value) == text


@pytest.mark.parametrize("text", [8, True, None, "8MiB", "8", "", "eight MiB", "8 mib", "1/0 MiB", "nan MiB"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ConfigError) as caught:
        units.parse_size(text, "sram.capacity")
    assert str(caught.value) == (
        f'sram.capacity: {text!r}; expected a quantity such as "8 MiB" (units: B, KiB, MiB, GiB, TiB, kB, MB, GB)'
    )


@pytest.mark.parametrize("text", ["0.5 ps", "-1 ns", "1.0001 ns"])
def test_a_time_that_is_not_whole_or_negative_is_refused(text):
    with pytest.raises(ConfigError) as caught:
        units.parse_time(text, "hbm.latency")
    assert str(caught.value) == f"hbm.latency: {text!r}; expected a whole, non-negative number of ps"


@given(period=st.integers(min_value=1, max_value=10**12).filter(lambda ps: 10**12 % ps == 0))
def test_period_inverts_the_frequency(period):
    assert units.period_ps(10**12 // period) == period


@pytest.mark.parametrize(("frequency", "found"), [(1_410_000_000, "1410 MHz"), (0, "0 Hz"), (3, "3 Hz")])
def test_a_frequency_without_a_whole_period_is_refused(frequency, found):
    with pytest.raises(ConfigError) as caught:
        units.period_ps(frequency, "core.clock")
    assert str(caught.value) == f"core.clock: '{found}'; expected a frequency whose period is a whole number of ps"


@pytest.mark.parametrize(
    ("value", "text"), [(999, "999 ps"), (1000, "1 ns"), (5_512_345_678, "5.512 ms"), (2 * 10**12, "2 s")]
)
def test_human_time(value, text):
    assert units.human_time(value) == text


@pytest.mark.parametrize(("value", "text"), [(999, "999 B"), (1000, "1 kB"), (3_980_000_000, "3.98 GB")])
def test_human_bytes(value, text):
    assert units.human_bytes(value) == text
