"""Rows of numbers as bytes in HBM: codes packed from the lowest bits up, and scale bytes apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from archsim.isa.formats import Format
from archsim.isa.semantics.asymmetric import Groups, dequantise_asymmetric, quantise_asymmetric
from archsim.isa.semantics.numbers import NUMBERS, SCALE_BIAS, SCALE_NAN, Blocks, Reals, quantise
from archsim.isa.semantics.rounding import Floats, bf16

Bytes8 = npt.NDArray[np.uint8]

_NO_SCALES = np.zeros(0, np.uint8)


def encode(values: Floats | Reals, fmt: Format) -> tuple[Bytes8, Bytes8]:
    """Codes and scales of one run of elements (n,), blocked from its start; the last block may be short."""
    if fmt.name == "fp32":
        return np.ascontiguousarray(values, dtype="<f4").view(np.uint8).copy(), _NO_SCALES
    if fmt.name == "bf16":
        halves = bf16(values.astype(np.float32)).view(np.uint32) >> np.uint32(16)
        return halves.astype("<u2").view(np.uint8), _NO_SCALES
    if fmt.asymmetric:
        groups = quantise_asymmetric(np.asarray(values, np.float64), fmt.bits, fmt.block)
        return pack(groups.codes), pairs(groups.scale, groups.zero)
    blocks: Blocks = quantise(values, NUMBERS[fmt.name], fmt.block)
    codes = blocks.codes.view(np.uint8)
    return (pack(codes) if fmt.bits == 4 else codes), blocks.scales


def decode(codes: Bytes8, scales: Bytes8, fmt: Format, elements: int) -> Floats:
    """The values of one run of `elements` elements, exactly (float32 holds every code times its scale)."""
    if fmt.name == "fp32":
        return codes.view("<f4").astype(np.float32)
    if fmt.name == "bf16":
        return (codes.view("<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)
    if fmt.asymmetric:
        scale, zero = np.moveaxis(scales.view("<f2").reshape(-1, 2), -1, 0)
        return dequantise_asymmetric(Groups(nibbles(codes)[:elements], scale, zero), fmt.block).astype(np.float32)
    number = NUMBERS[fmt.name]
    raw = _unpack(codes)[:elements] if fmt.bits == 4 else codes
    if number.element is None:
        values = raw.view(np.int8).astype(np.float32)
    else:
        values = raw.view(_ELEMENTS[number.element]).astype(np.float32)
    exponents = scales.astype(np.int32) - (SCALE_BIAS + number.fraction)
    per_element = np.repeat(exponents, fmt.block)[:elements]
    values = np.ldexp(values, per_element)
    if (scales == SCALE_NAN).any():
        values[np.repeat(scales == SCALE_NAN, fmt.block)[:elements]] = np.nan
    return values


def _elements() -> dict[str, np.dtype[np.generic]]:
    import ml_dtypes

    names = {number.element for number in NUMBERS.values() if number.element and number.scaled}
    return {name: np.dtype(getattr(ml_dtypes, name)) for name in names}


_ELEMENTS = _elements()


def pack(codes: Bytes8) -> Bytes8:
    """Two 4-bit codes a byte, the earlier one in the low half."""
    low = codes[0::2] & np.uint8(15)
    high = codes[1::2] << np.uint8(4)
    if len(high) < len(low):
        high = np.append(high, np.uint8(0))
    return low | high


def _unpack(packed: Bytes8) -> Bytes8:
    # Two's complement of four bits.
    return (nibbles(packed) ^ np.uint8(8)) - np.uint8(8)


def nibbles(packed: Bytes8) -> Bytes8:
    """Codes 0..15 of packed bytes."""
    codes = np.empty(2 * len(packed), np.uint8)
    codes[0::2] = packed & np.uint8(15)
    codes[1::2] = packed >> np.uint8(4)
    return codes


def pairs(scale: npt.NDArray[np.float16], zero: npt.NDArray[np.float16]) -> Bytes8:
    """Scales and zero points as bytes, a group's after another's."""
    return np.stack([scale.reshape(-1), zero.reshape(-1)], axis=-1).astype("<f2").view(np.uint8).reshape(-1)
