"""What holds for every value of every format: idempotence, order, bounds, nearest element, power-of-two scaling."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsim.errors import ConfigError
from archsim.isa.semantics.dot import ACCUMULATORS, accumulator_bits, block_dot
from archsim.isa.semantics.numbers import NUMBERS, element_values, quantise, round_trip

SCALED = tuple(name for name, number in NUMBERS.items() if number.scaled)
BLOCKS = st.lists(st.floats(-(2.0**60), 2.0**60, width=32), min_size=1, max_size=40)

# dB for N(0, 1) in blocks of 32
SQNR = {
    "mxint8": 41.65,
    "mxfp6_e2m3": 30.93,
    "mxfp8": 30.62,
    "mxfp8_e5m2": 25.36,
    "mxfp6_e3m2": 25.36,
    "mxfp4": 18.76,
    "mxint4": 17.54,
}


def all_elements(name: str) -> np.ndarray:
    """Every finite element of a format, in order."""
    number = NUMBERS[name]
    if number.element is None:
        codes = np.arange(number.lowest, number.highest + 1, dtype=np.int8)
    else:
        codes = np.arange(1 << number.bits, dtype=np.uint8)
    values = element_values(codes, number)
    return np.unique(values[np.isfinite(values)])


@pytest.mark.parametrize(("name", "expected"), SQNR.items())
def test_gaussian_noise(name: str, expected: float) -> None:
    values = np.random.default_rng(0).standard_normal((8000, 32))
    error = round_trip(values, NUMBERS[name]) - values
    assert 10 * np.log10((values**2).sum() / (error**2).sum()) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("name", SCALED)
def test_element_is_the_nearest_with_ties_to_even(name: str) -> None:
    """Against a search over all elements: midpoints, their neighbours, and random values, at scale 1."""
    number, elements = NUMBERS[name], all_elements(name)
    middle = (elements[:-1] + elements[1:]) / 2
    random = np.random.default_rng(3).uniform(elements[0], elements[-1], 500)
    values = np.concatenate([elements, middle, np.nextafter(middle, 9e9), np.nextafter(middle, -9e9), random])
    top = 2.0**number.emax
    peak = top / 2 if number.ceil else top  # with either rule this holds the shared scale at 1
    values = values[np.abs(values) <= peak]
    pairs = np.stack([values, np.full_like(values, peak)], axis=-1)
    blocks = quantise(pairs, number, block=2)
    found = element_values(blocks.codes, number)[:, 0]
    steps = np.unique(blocks.scales)
    scale = 2.0 ** (int(steps[0]) - 127)
    assert len(steps) == 1
    gap = np.abs(values[:, None] / scale - elements)
    assert np.array_equal(np.abs(values / scale - found), gap.min(axis=1))
    tie = (gap == gap.min(axis=1, keepdims=True)).sum(axis=1) == 2
    assert not (blocks.codes[tie, 0] & 1).any()


@pytest.mark.parametrize("name", [name for name in NUMBERS if name != "mxint4_mase"])
@given(values=BLOCKS)
def test_idempotent(name: str, values: list[float]) -> None:
    once = round_trip(np.array(values), NUMBERS[name])
    assert np.array_equal(round_trip(once, NUMBERS[name]), once)


def test_mase_rule_is_not_idempotent() -> None:
    """8.4 becomes 8, whose scale is half as large, and there +8 is one step too far."""
    once = round_trip(np.array([8.4, 0.9]), NUMBERS["mxint4_mase"])
    assert once.tolist() == [8.0, 0.0]
    assert round_trip(once, NUMBERS["mxint4_mase"]).tolist() == [7.0, 0.0]


@pytest.mark.parametrize("name", SCALED)
@given(values=BLOCKS, power=st.integers(-30, 30))
def test_common_power_of_two_passes_through(name: str, values: list[float], power: int) -> None:
    array = np.array(values) * (np.abs(values) > 1e-6)  # away from the least scale
    moved = quantise(np.ldexp(array, power), NUMBERS[name])
    still = quantise(array, NUMBERS[name])
    assert np.array_equal(moved.codes, still.codes)
    after = np.ldexp(round_trip(array, NUMBERS[name]), power)
    assert np.array_equal(round_trip(np.ldexp(array, power), NUMBERS[name]), after)


@pytest.mark.parametrize("name", NUMBERS)
@given(values=BLOCKS)
def test_order_within_a_block_is_kept(name: str, values: list[float]) -> None:
    ordered = np.sort(np.array(values[:32]))
    assert (np.diff(round_trip(ordered, NUMBERS[name])) >= 0).all()


@pytest.mark.parametrize("name", SCALED)
@given(values=BLOCKS)
def test_error_bound(name: str, values: list[float]) -> None:
    """Half the largest gap between elements, or the overhang of the block maximum beyond the largest element."""
    array, number, elements = np.array(values[:32]), NUMBERS[name], all_elements(name)
    blocks = quantise(array, number)
    scale = 2.0 ** (int(blocks.scales[0]) - 127)
    bound = scale * max(np.diff(elements).max() / 2, 2.0 ** (number.emax + (not number.ceil)) - elements[-1])
    assert (np.abs(round_trip(array, number) - array) <= bound).all()


@pytest.mark.parametrize("name", NUMBERS)
@given(values=BLOCKS)
def test_sign_symmetry(name: str, values: list[float]) -> None:
    array = np.array(values)
    mirrored = -round_trip(-array, NUMBERS[name])
    plain = round_trip(array, NUMBERS[name])
    if name == "mxint4_mase":  # code -8 has no positive twin
        scale = 2.0 ** (quantise(array, NUMBERS[name]).scales.astype(float) - 127).repeat(32)[: len(array)]
        assert (np.abs(mirrored - plain) <= scale / 8).all()
    else:
        assert np.array_equal(mirrored, plain)


@pytest.mark.parametrize(
    ("left", "right", "bits"), [("mxint4", "mxint4", 12), ("mxint4", "mxint8", 16), ("mxint8", "mxint8", 20)]
)
def test_width_of_integer_block_sums(left: str, right: str, bits: int) -> None:
    a, b = NUMBERS[left], NUMBERS[right]
    assert accumulator_bits(a, b) == bits
    largest = 32 * a.highest * b.highest
    assert 2 ** (bits - 2) <= largest < 2 ** (bits - 1)


def test_width_counts_the_extra_mase_code() -> None:
    mase = NUMBERS["mxint4_mase"]
    assert accumulator_bits(mase, mase, terms=32) == 13  # 32 * 64 = 2048 needs 12 bits and a sign
    with pytest.raises(ConfigError, match=r"accumulator: 'mxfp4'; expected a format with integer elements"):
        accumulator_bits(mase, NUMBERS["mxfp4"])


@pytest.mark.parametrize(("left", "right"), list(itertools.product(("mxint4", "mxfp8"), ("mxint8", "mxfp4"))))
def test_block_dot_of_one_block_is_the_product_of_the_values(left: str, right: str) -> None:
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((2, 6, 32))
    found = block_dot(_quantised(a, left), _quantised(b, right))
    exact = (round_trip(a, NUMBERS[left]) * round_trip(b, NUMBERS[right])).sum(axis=-1)
    assert np.array_equal(found, exact.astype(np.float32).astype(float))


def test_block_dot_rounds_after_every_block() -> None:
    """1 + 2^-8 is a BF16 tie to even, twice; a sum rounded once would keep the 2^-7."""
    a = np.zeros(96)
    a[[0, 32, 64]] = 1.0, 2.0**-8, 2.0**-8
    ones = np.ones(96)
    pair = _quantised(a, "mxint8"), _quantised(ones, "mxint8")
    assert block_dot(*pair, accumulator="bf16") == 1.0
    assert block_dot(*pair, accumulator="fp32") == 1.0 + 2.0**-7


# Loss of the accumulator alone, in dB, for Gaussian W4A8 operands
LOSS = [(128, "fp16", -73), (4096, "fp16", -55), (12288, "fp16", -51)]
LOSS += [(128, "bf16", -51), (4096, "bf16", -37), (12288, "bf16", -33)]


@pytest.mark.parametrize(("length", "accumulator", "expected"), LOSS)
def test_loss_of_narrow_accumulators(length: int, accumulator: str, expected: float) -> None:
    a, b, found = _long_dot(length, accumulator)
    exact = (a * b).sum(axis=-1)
    loss = 10 * np.log10(((found - exact) ** 2).sum() / (exact**2).sum())
    assert loss == pytest.approx(expected, abs=2.5)


@pytest.mark.parametrize("length", [128, 4096, 12288])
def test_fp32_accumulator_loses_nothing_that_matters(length: int) -> None:
    a, b, found = _long_dot(length, "fp32")
    exact = (a * b).sum(axis=-1)
    assert ((found - exact) ** 2).sum() <= 1e-11 * (exact**2).sum()


def test_block_dot_refusals_and_nan() -> None:
    one = _quantised(np.ones(32), "mxint8")
    assert np.isnan(block_dot(one, _quantised(np.full(32, np.nan), "mxint4")))
    with pytest.raises(ConfigError, match="accumulator: 'int32'; expected one of " + ", ".join(ACCUMULATORS)):
        block_dot(one, one, accumulator="int32")
    short = _quantised(np.ones(40), "mxint8")
    with pytest.raises(ConfigError, match=r"block dot product: 40; expected a multiple of the block of 32"):
        block_dot(short, short)


def _quantised(array: np.ndarray, name: str) -> tuple:
    return quantise(array, NUMBERS[name]), NUMBERS[name]


def _long_dot(length: int, accumulator: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    a, b = np.random.default_rng(7).standard_normal((2, 400, length))
    found = block_dot(_quantised(a, "mxint4"), _quantised(b, "mxint8"), accumulator)
    return round_trip(a, NUMBERS["mxint4"]), round_trip(b, NUMBERS["mxint8"]), found
