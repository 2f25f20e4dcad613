"""Rows as bytes, and fast roundings: the same as the formats' definition in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsim.isa.formats import FORMATS
from archsim.isa.semantics.hbm import PAGE, Hbm
from archsim.isa.semantics.numbers import NUMBERS, dequantise, quantise, round_trip
from archsim.isa.semantics.rounding import bf16, through
from archsim.isa.semantics.storage import decode, encode


def rows(seed: int, width: int) -> np.ndarray:
    """Numbers of all magnitudes, zeros and exact ties among them."""
    rng = np.random.default_rng(seed)
    exponents = rng.integers(-140, 120, (4, 1)) + rng.integers(-8, 8, (4, width))
    values = np.ldexp(rng.integers(-256, 257, (4, width)) / 128, exponents)
    values[rng.random((4, width)) < 0.1] = 0
    return values.astype(np.float32)


@pytest.mark.parametrize("name", [name for name in FORMATS if name in NUMBERS])
@given(seed=st.integers(0, 2**20), width=st.sampled_from((1, 31, 32, 64, 80)))
def test_bytes_hold_what_the_format_holds(name: str, seed: int, width: int) -> None:
    fmt, values = FORMATS[name], rows(seed, width)
    for row in values:
        codes, scales = encode(row, fmt)
        assert (len(codes), len(scales)) == (fmt.code_bytes(width), fmt.scale_bytes(width))
        with np.errstate(over="ignore"):
            expected = dequantise(quantise(row, NUMBERS[name]), NUMBERS[name]).astype(np.float32)
        assert np.array_equal(decode(codes, scales, fmt, width), expected)


@pytest.mark.parametrize("name", [name for name in FORMATS if name in NUMBERS])
@given(seed=st.integers(0, 2**20), width=st.sampled_from((32, 80, 128)))
def test_a_round_trip_is_that_of_the_format(name: str, seed: int, width: int) -> None:
    values = rows(seed, width)
    with np.errstate(over="ignore"):
        assert np.array_equal(through(values, FORMATS[name]), round_trip(values, NUMBERS[name]).astype(np.float32))


@pytest.mark.parametrize("name", ["mxfp8", "mxint8", "mxint4"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_costs_its_block(name: str, bad: float) -> None:
    values = np.ones((1, 96), np.float32)
    values[0, 40] = bad
    lost = np.isnan(through(values, FORMATS[name])[0])
    assert lost.tolist() == [False] * 32 + [True] * 32 + [False] * 32
    codes, scales = encode(values[0], FORMATS[name])
    assert np.array_equal(np.isnan(decode(codes, scales, FORMATS[name], 96)), lost)


@given(st.lists(st.floats(width=32), min_size=1, max_size=40))
def test_bf16_is_the_format(values: list[float]) -> None:
    array = np.array(values, np.float32)
    expected = round_trip(array, NUMBERS["bf16"]).astype(np.float32)
    assert np.array_equal(bf16(array), expected, equal_nan=True)


def test_four_bit_codes_lie_low_half_first() -> None:
    # 1.75 is code 7 and -0.5 code -2, of a block whose scale is 1 (byte 127).
    codes, scales = encode(np.array([1.75, -0.5, 0.25], np.float32), FORMATS["mxint4"])
    assert codes.tolist() == [0xE7, 0x01]
    assert scales.tolist() == [127]


def test_bytes_across_pages() -> None:
    hbm = Hbm(8 * PAGE, (("a", PAGE - 4, 8),))
    before = hbm.stamp(PAGE - 4, 8)
    hbm.write(PAGE - 3, np.arange(1, 7, dtype=np.uint8))
    assert hbm.read(PAGE - 4, 8).tolist() == [0, 1, 2, 3, 4, 5, 6, 0]
    assert hbm.missing(PAGE - 3, 6) is None
    assert hbm.missing(PAGE - 4, 8) == PAGE - 4
    assert hbm.missing(PAGE - 3, 8) == PAGE + 3
    assert hbm.missing(4 * PAGE, 1) == 4 * PAGE
    assert (hbm.region(PAGE), hbm.region(PAGE + 4)) == ("a", None)
    assert hbm.stamp(PAGE - 4, 8) != before
