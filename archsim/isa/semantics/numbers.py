"""Number formats as values: what each code stands for, and how a real number becomes a code.

The MX formats follow the OCP Microscaling Formats specification v1.0 (2023): `block` elements share one
E8M0 scale X = 2^(byte - 127), where byte 0xFF is NaN, and a value is X times its element. Elements are rounded to
nearest, ties to even, and saturate. MXINT4 is no OCP format; `mxint4` extends the OCP rule of MXINT8 to four
bits, `mxint4_mase` is the rule of the MASE library. Where the specification leaves a choice open: a NaN or
an infinity in a block makes its scale 0xFF, and a block of zeros has scale 0x00 and codes 0.

Arrays are float64 on the way in and out; every value of every format is exact in float64.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple, TypeAlias

import attrs
import ml_dtypes
import numpy as np
import numpy.typing as npt

from archsim.errors import ConfigError

Reals: TypeAlias = npt.NDArray[np.float64]
Codes: TypeAlias = npt.NDArray[Any]

BLOCK = 32
"""Elements that share a scale, as OCP MX fixes it; other sizes are allowed everywhere."""
SCALE_BIAS = 127
SCALE_NAN = 0xFF


class Blocks(NamedTuple):
    """A quantised array: codes in its shape, and scale bytes with `axis` shortened to its number of blocks.

    Codes are int8 for integer elements and unsigned bit patterns for floating ones. Formats without scales
    have a scale array of length 0 along the axis.
    """

    codes: Codes
    scales: npt.NDArray[np.uint8]


@attrs.frozen(kw_only=True)
class Number:
    """One number format: a floating element (`element` names its ml_dtypes or numpy type) or an integer one.

    An integer element c is worth c / 2^fraction, with c in lowest..highest. `emax` is the exponent of the
    largest element; the shared exponent of a block is floor(log2 of its absolute maximum) - emax, or the
    same with ceil where `ceil` is set.
    """

    name: str
    bits: int
    scaled: bool = True
    emax: int = 0
    element: str | None = None
    fraction: int = 0
    lowest: int = 0
    highest: int = 0
    ceil: bool = False

    def bits_per_element(self, block: int = BLOCK) -> float:
        """Storage in bits of an element with its share of the scale."""
        return self.bits + (8 / block if self.scaled else 0)


def _integer(name: str, bits: int, *, fraction: int, lowest: int, ceil: bool = False) -> Number:
    highest = (1 << bits - 1) - 1
    return Number(name=name, bits=bits, fraction=fraction, lowest=lowest, highest=highest, ceil=ceil)


NUMBERS: dict[str, Number] = {
    number.name: number
    for number in (
        Number(name="fp32", bits=32, element="float32", scaled=False),
        Number(name="bf16", bits=16, element="bfloat16", scaled=False),
        Number(name="mxfp8", bits=8, element="float8_e4m3fn", emax=8),
        Number(name="mxfp8_e5m2", bits=8, element="float8_e5m2", emax=15),
        Number(name="mxfp6_e3m2", bits=6, element="float6_e3m2fn", emax=4),
        Number(name="mxfp6_e2m3", bits=6, element="float6_e2m3fn", emax=2),
        Number(name="mxfp4", bits=4, element="float4_e2m1fn", emax=2),
        _integer("mxint8", 8, fraction=6, lowest=-127),
        _integer("mxint4", 4, fraction=2, lowest=-7),
        _integer("mxint4_mase", 4, fraction=3, lowest=-8, ceil=True),
    )
}
"""Every format by name; the names of `archsim.isa.formats` mean the same here, `mxfp8` being E4M3."""


def number_named(name: str, path: str = "number format") -> Number:
    """Look a format up; raises ConfigError at `path` where the name is unknown."""
    if name not in NUMBERS:
        raise ConfigError(path, name, "one of " + ", ".join(NUMBERS))
    return NUMBERS[name]


def quantise(array: npt.ArrayLike, number: Number, block: int = BLOCK, axis: int = -1) -> Blocks:
    """Codes and scales of `array`, blocked along `axis`; the last block may be a short one.

    Formats without scales are rounded element by element, overflow to infinity and keep NaN.
    Raises ConfigError where `block` is below 1.
    """
    values = np.asarray(array, dtype=np.float64)
    if not number.scaled:
        return Blocks(_bits_of(values, number), _no_scales(values, axis))
    groups = _grouped(values, block, axis)
    bad = ~np.isfinite(groups).all(axis=-1)
    sound = np.where(bad[..., None], 0.0, groups)
    peak = np.abs(sound).max(axis=-1)
    exponent = _shared_exponent(peak, number)
    codes = _element_codes(np.ldexp(sound, -exponent[..., None]), number)
    codes[peak == 0] = 0
    scales = np.where(peak == 0, 0, exponent + SCALE_BIAS)
    scales[bad] = SCALE_NAN
    return Blocks(_ungrouped(codes, values.shape, axis), np.moveaxis(scales.astype(np.uint8), -1, axis))


def dequantise(blocks: Blocks, number: Number, block: int = BLOCK, axis: int = -1) -> Reals:
    """The values that codes and scales stand for, exactly, in the shape of the codes."""
    values = element_values(blocks.codes, number)
    if not number.scaled:
        return values
    scales = np.moveaxis(scale_values(blocks.scales), axis, -1)[..., None]
    return _ungrouped(_grouped(values, block, axis) * scales, values.shape, axis)


def round_trip(array: npt.ArrayLike, number: Number, block: int = BLOCK, axis: int = -1) -> Reals:
    """What is left of `array` after storing it in the format."""
    return dequantise(quantise(array, number, block, axis), number, block, axis)


def element_values(codes: Codes, number: Number) -> Reals:
    """The elements that codes stand for, before any scale."""
    if number.element is None:
        return np.ldexp(codes.astype(np.float64), -number.fraction)
    return codes.view(element_type(number)).astype(np.float64)


def scale_values(scales: npt.NDArray[np.uint8]) -> Reals:
    """E8M0 bytes as powers of two, 0xFF as NaN."""
    return np.where(scales == SCALE_NAN, np.nan, np.ldexp(1.0, scales.astype(np.int64) - SCALE_BIAS))


@functools.cache
def largest(element: str) -> float:
    """The largest element."""
    return float(_finfo(np.dtype(getattr(ml_dtypes, element))).max)


def element_type(number: Number) -> np.dtype[Any]:
    """The type of a floating element's codes."""
    assert number.element is not None
    return np.dtype(getattr(ml_dtypes, number.element, number.element))


def _shared_exponent(peak: Reals, number: Number) -> npt.NDArray[np.int64]:
    mantissa, exponent = np.frexp(peak)
    exact = mantissa == 0.5  # a power of two: floor and ceil of its logarithm are the same
    top = exponent - exact if number.ceil else exponent - 1
    return np.asarray(np.clip(top - number.emax, -SCALE_BIAS, SCALE_BIAS), dtype=np.int64)


def _element_codes(values: Reals, number: Number) -> Codes:
    """Codes of finite values that are divided by their scale already; beyond the largest element they saturate."""
    if number.element is None:
        steps = np.rint(np.ldexp(values, number.fraction))
        return np.clip(steps, number.lowest, number.highest).astype(np.int8)
    top = largest(number.element)
    return _bits_of(np.clip(values, -top, top), number)


def _bits_of(values: Reals, number: Number) -> Codes:
    """Bit patterns of the nearest elements, ties to even.

    The conversions of ml_dtypes pass through float32 and so would round twice; hence the rounding here, in
    float64, after which they are exact.
    """
    dtype = element_type(number)
    info = _finfo(dtype)
    _, exponent = np.frexp(values)
    step = np.maximum(exponent - 1, int(info.minexp)) - int(info.nmant)
    finite = np.isfinite(values)
    safe = np.where(finite, values, 0.0)
    rounded = np.where(finite, np.ldexp(np.rint(np.ldexp(safe, -step)), step), values)
    with np.errstate(over="ignore", invalid="ignore"):
        return rounded.astype(dtype).view(np.dtype(f"u{dtype.itemsize}"))


def _finfo(dtype: np.dtype[Any]) -> Any:
    return ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]


def _grouped(values: npt.NDArray[Any], block: int, axis: int) -> npt.NDArray[Any]:
    """`axis` moved last and cut to (blocks, block); zeros fill the last block, which changes no scale."""
    if block < 1:
        raise ConfigError("block", block, "at least 1 element")
    last = np.moveaxis(values, axis, -1)
    length = last.shape[-1]
    short = -length % block
    if short:
        last = np.concatenate([last, np.zeros((*last.shape[:-1], short), last.dtype)], axis=-1)
    return last.reshape(*last.shape[:-1], (length + short) // block, block)


def _ungrouped(groups: npt.NDArray[Any], shape: tuple[int, ...], axis: int) -> npt.NDArray[Any]:
    count, block = groups.shape[-2:]
    flat = groups.reshape(*groups.shape[:-2], count * block)[..., : shape[axis]]
    return np.moveaxis(flat, -1, axis)


def _no_scales(values: Reals, axis: int) -> npt.NDArray[np.uint8]:
    shape = list(values.shape or (0,))
    shape[axis] = 0
    return np.zeros(shape, np.uint8)
