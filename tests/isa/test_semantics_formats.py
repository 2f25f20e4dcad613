"""Worked vectors of every number format, checked by hand against the OCP MX specification v1.0.

A vector is the first eight elements of a block of 32; the others are zero.
"""

from __future__ import annotations

import attrs
import numpy as np
import pytest

from archsim.errors import ConfigError
from archsim.isa.formats import FORMATS
from archsim.isa.semantics.numbers import NUMBERS, dequantise, number_named, quantise, round_trip

V1 = [1, -0.5, 0.25, 0.75, 3, -6, 0.1, 0]
V2 = [448, -449, 464, 500, 1, 0.3, -0.001, 240]
V3 = [0.3, -0.29, 0.11, 0.07, -0.02, 0.005, 0.001, 0.31]
V4 = [1.9375, -1.90625, 1.96875, -1.9921875, 1, 0.0078125, 0.0234375, -0.0390625]
V5 = [8, -8, 7, 0.5, 1.5, 2.5, -3.5, 0]
V6 = [7.9, -7.9, 1, 0.9, -1.1, 0.4, 3.3, -2.6]
V8 = [1e-40, -2e-40, 5e-39]
V9 = [16, 0.9, -0.6, 1.4, -2.1, 0.3, 2, -1]

# input, format, scale byte, codes (hexadecimal for floating elements, decimal for integers)
CODES = [
    (V1, "mxfp8", 0x79, "68 E0 58 64 74 FC 4D 00"),
    (V1, "mxfp8_e5m2", 0x72, "70 EC 68 6E 76 FA 62 00"),
    (V1, "mxfp6_e3m2", 0x7D, "14 30 0C 12 1A 3E 06 00"),
    (V1, "mxfp6_e2m3", 0x7F, "08 24 02 06 14 3C 01 00"),
    (V1, "mxfp4", 0x7F, "02 09 00 02 05 0F 00 00"),
    (V1, "mxint8", 0x81, "16 -8 4 12 48 -96 2 0"),
    (V1, "mxint4", 0x81, "1 0 0 1 3 -6 0 0"),
    (V1, "mxint4_mase", 0x82, "1 0 0 1 3 -6 0 0"),
    (V2, "mxfp8", 0x7F, "7E FE 7E 7E 38 2A 81 77"),
    (V2, "mxfp8_e5m2", 0x78, "7B FB 7B 7B 58 51 B0 78"),
    (V2, "mxfp6_e3m2", 0x83, "1F 3F 1F 1F 01 00 20 1C"),
    (V2, "mxfp6_e2m3", 0x85, "1E 3E 1E 1F 00 00 20 17"),
    (V2, "mxfp4", 0x85, "07 0F 07 07 00 00 08 06"),
    (V2, "mxint8", 0x87, "112 -112 116 125 0 0 0 60"),
    (V2, "mxint4", 0x87, "7 -7 7 7 0 0 0 4"),
    (V3, "mxfp8", 0x75, "7A F9 6E 69 DA 4A 38 7A"),
    (V3, "mxfp4", 0x7B, "06 0E 04 02 09 00 00 06"),
    (V3, "mxint8", 0x7D, "77 -74 28 18 -5 1 0 79"),
    (V3, "mxint4", 0x7D, "5 -5 2 1 0 0 0 5"),
    (V3, "mxint4_mase", 0x7E, "5 -5 2 1 0 0 0 5"),
    (V4, "mxfp8", 0x77, "7E FE 7E FE 78 40 4C D2"),
    (V4, "mxfp6_e2m3", 0x7D, "1F 3F 1F 3F 18 00 01 21"),
    (V4, "mxint8", 0x7F, "124 -122 126 -127 64 0 2 -2"),
    (V4, "mxint4", 0x7F, "7 -7 7 -7 4 0 0 0"),
    (V4, "mxint4_mase", 0x80, "7 -8 7 -8 4 0 0 0"),
    (V5, "mxfp8", 0x7A, "78 F8 76 58 64 6A EE 00"),
    (V5, "mxfp4", 0x80, "06 0E 06 00 02 02 0C 00"),
    (V5, "mxint8", 0x82, "64 -64 56 4 12 20 -28 0"),
    (V5, "mxint4", 0x82, "4 -4 4 0 1 1 -2 0"),
    (V5, "mxint4_mase", 0x82, "7 -8 7 0 2 2 -4 0"),
    (V6, "mxfp8", 0x79, "7E FE 68 66 E9 5D 75 F2"),
    (V6, "mxfp8_e5m2", 0x72, "7B FB 70 6F F0 6A 77 F5"),
    (V6, "mxfp6_e3m2", 0x7D, "1F 3F 14 13 34 0E 1B 39"),
    (V6, "mxfp6_e2m3", 0x7F, "1F 3F 08 07 29 03 15 32"),
    (V6, "mxfp4", 0x7F, "07 0F 02 02 0A 01 05 0D"),
    (V6, "mxint8", 0x81, "126 -126 16 14 -18 6 53 -42"),
    (V6, "mxint4", 0x81, "7 -7 1 1 -1 0 3 -3"),
    (V6, "mxint4_mase", 0x82, "7 -8 1 1 -1 0 3 -3"),
    (V8, "mxfp8", 0x00, "09 91 36"),
    (V8, "mxfp4", 0x00, "00 08 02"),
    (V8, "mxint8", 0x00, "1 -2 54"),
    (V8, "mxint4", 0x00, "0 0 3"),
    (V9, "mxfp4", 0x81, "06 00 08 01 09 00 01 08"),
    (V9, "mxint4", 0x83, "4 0 0 0 -1 0 0 0"),
    (V9, "mxint4_mase", 0x83, "7 0 0 1 -1 0 1 0"),
]

# input, format, values after the round trip
VALUES = [
    (V1, "mxfp8", [1, -0.5, 0.25, 0.75, 3, -6, 0.1015625, 0]),
    (V1, "mxfp8_e5m2", [1, -0.5, 0.25, 0.75, 3, -6, 0.09375, 0]),
    (V1, "mxfp6_e3m2", [1, -0.5, 0.25, 0.75, 3, -6, 0.09375, 0]),
    (V1, "mxfp6_e2m3", [1, -0.5, 0.25, 0.75, 3, -6, 0.125, 0]),
    (V1, "mxfp4", [1, -0.5, 0, 1, 3, -6, 0, 0]),
    (V1, "mxint8", [1, -0.5, 0.25, 0.75, 3, -6, 0.125, 0]),
    (V1, "mxint4", [1, 0, 0, 1, 3, -6, 0, 0]),
    (V2, "mxfp8", [448, -448, 448, 448, 1, 0.3125, -0.001953125, 240]),
    (V2, "mxfp8_e5m2", [448, -448, 448, 448, 1, 0.3125, -0.0009765625, 256]),
    (V2, "mxfp6_e2m3", [448, -448, 448, 480, 0, 0, 0, 240]),
    (V2, "mxfp4", [384, -384, 384, 384, 0, 0, 0, 256]),
    (V2, "mxint8", [448, -448, 464, 500, 0, 0, 0, 240]),
    (V2, "mxint4", [448, -448, 448, 448, 0, 0, 0, 256]),
    (V3, "mxfp8", [0.3125, -0.28125, 0.109375, 0.0703125, -0.01953125, 0.0048828125, 0.0009765625, 0.3125]),
    (V3, "mxint4", [0.3125, -0.3125, 0.125, 0.0625, 0, 0, 0, 0.3125]),
    (V4, "mxint4", [1.75, -1.75, 1.75, -1.75, 1, 0, 0, 0]),
    (V4, "mxint4_mase", [1.75, -2, 1.75, -2, 1, 0, 0, 0]),
    (V5, "mxfp8", V5),
    (V5, "mxint8", V5),
    (V5, "mxint4_mase", [7, -8, 7, 0, 2, 2, -4, 0]),
    (V6, "mxint8", [7.875, -7.875, 1, 0.875, -1.125, 0.375, 3.3125, -2.625]),
    (V6, "mxfp6_e2m3", [7.5, -7.5, 1, 0.875, -1.125, 0.375, 3.25, -2.5]),
    (V9, "mxfp4", [16, 0, 0, 2, -2, 0, 2, 0]),
    (V9, "mxint4_mase", [14, 0, 0, 2, -2, 0, 2, 0]),
]

# 1.00390625 is the tie between 0x3F80 and 0x3F81; 2^-41 above it a rounding through float32 would see the tie too.
BF16 = [
    (1.00390625, 0x3F80),
    (1.01171875, 0x3F82),
    (3.1415927, 0x4049),
    (0.1, 0x3DCD),
    (1.00390625 + 2.0**-41, 0x3F81),
    (65504.0, 0x4780),
    (3.3895314e38, 0x7F7F),
    (3.3961776e38, 0x7F80),
    (-1e308, 0xFF80),
    (1e-40, 0x0001),
    (float("inf"), 0x7F80),
]


def block_of(values: list[float]) -> np.ndarray:
    return np.array(values + [0.0] * (32 - len(values)))


def parsed(codes: str, name: str) -> list[int]:
    return [int(code, 16 if NUMBERS[name].element else 10) for code in codes.split()]


@pytest.mark.parametrize(("values", "name", "scale", "codes"), CODES)
def test_codes_and_scale(values: list[float], name: str, scale: int, codes: str) -> None:
    blocks = quantise(block_of(values), NUMBERS[name])
    expected = parsed(codes, name)
    assert blocks.scales.tolist() == [scale]
    assert blocks.codes.tolist() == expected + [0] * (32 - len(expected))


@pytest.mark.parametrize(("values", "name", "expected"), VALUES)
def test_values_after_the_round_trip(values: list[float], name: str, expected: list[float]) -> None:
    assert round_trip(block_of(values), NUMBERS[name])[:8].tolist() == expected


@pytest.mark.parametrize(("value", "code"), BF16)
def test_bf16(value: float, code: int) -> None:
    blocks = quantise(np.array([value]), NUMBERS["bf16"])
    assert blocks.codes.tolist() == [code]
    assert blocks.scales.shape == (0,)


def test_unscaled_formats_have_no_scales() -> None:
    assert quantise(np.ones((3, 4, 5)), NUMBERS["fp32"], axis=1).scales.shape == (3, 0, 5)
    assert round_trip(np.float64(0.1), NUMBERS["bf16"]) == 0.10009765625


def test_unscaled_formats_keep_nan() -> None:
    assert np.isnan(round_trip(np.array([np.nan]), NUMBERS["bf16"])).all()
    assert np.isnan(round_trip(np.array([np.nan]), NUMBERS["fp32"])).all()


def test_fp32_is_the_nearest_float32() -> None:
    values = np.random.default_rng(1).standard_normal(1000) * 10.0 ** np.arange(-50, 50).repeat(10)
    with np.errstate(over="ignore"):
        assert round_trip(values, NUMBERS["fp32"]).tolist() == values.astype(np.float32).astype(float).tolist()


def test_lowest_mxint8_code_may_be_allowed() -> None:
    wide = attrs.evolve(NUMBERS["mxint8"], lowest=-128)
    assert round_trip(block_of(V4), wide)[3] == -2.0


@pytest.mark.parametrize("name", [name for name, number in NUMBERS.items() if number.scaled])
@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_zero_block(name: str, zero: float) -> None:
    blocks = quantise(np.full(32, zero), NUMBERS[name])
    assert blocks.scales.tolist() == [0]
    assert not blocks.codes.any()


@pytest.mark.parametrize("name", [name for name, number in NUMBERS.items() if number.scaled])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_bad_value_loses_its_block_alone(name: str, bad: float) -> None:
    array = np.ones(64)
    array[3] = bad
    blocks = quantise(array, NUMBERS[name])
    back = dequantise(blocks, NUMBERS[name])
    assert blocks.scales[0] == 0xFF
    assert np.isnan(back[:32]).all()
    assert np.isfinite(back[32:]).all()


def test_scale_saturates_at_both_ends() -> None:
    blocks = quantise(np.array([[1e300] * 32, [1e-300] * 32]), NUMBERS["mxint8"])
    assert blocks.scales.tolist() == [[254], [0]]
    assert (blocks.codes[0] == 127).all()
    assert not blocks.codes[1].any()


def test_axis_and_short_last_block() -> None:
    array = np.random.default_rng(0).standard_normal((3, 70, 5))
    number = NUMBERS["mxint4"]
    blocks = quantise(array, number, block=16, axis=1)
    assert blocks.codes.shape == array.shape
    assert blocks.scales.shape == (3, 5, 5)
    back = dequantise(blocks, number, block=16, axis=1)
    assert np.array_equal(back[:, 64:], round_trip(array[:, 64:], number, block=6, axis=1))


def test_storage_agrees_with_the_format_table() -> None:
    for name, stored in FORMATS.items():
        if name not in NUMBERS:
            continue  # scales and zero points: test_semantics_channels
        assert NUMBERS[name].bits_per_element(32) == stored.total_bytes(1024) * 8 / 1024
    assert NUMBERS["mxfp6_e2m3"].bits_per_element() == 6.25
    assert NUMBERS["mxfp8"].bits_per_element(8) == 9.0


def test_bad_requests() -> None:
    with pytest.raises(ConfigError, match=r"kv: 'int5'; expected one of fp32, bf16"):
        number_named("int5", "kv")
    with pytest.raises(ConfigError, match=r"block: 0; expected at least 1"):
        quantise(np.ones(4), NUMBERS["mxint8"], block=0)
