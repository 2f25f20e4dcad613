"""Fast roundings of float32 arrays: to BF16, to an MX format and back, to an accumulator.

`numbers` defines the formats in float64; here are the same results for float32 input, without codes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import ml_dtypes
import numpy as np
import numpy.typing as npt

from archsim.isa.formats import Format
from archsim.isa.semantics.asymmetric import dequantise_asymmetric, quantise_asymmetric
from archsim.isa.semantics.numbers import NUMBERS, SCALE_BIAS, Number, element_type, largest, round_trip

Floats: TypeAlias = npt.NDArray[np.float32]
Rounding: TypeAlias = Callable[[Floats], Floats]

_BF16 = np.dtype(ml_dtypes.bfloat16)


def same(values: Floats) -> Floats:
    """No rounding: FP32."""
    return values


def bf16(values: Floats) -> Floats:
    """The nearest BF16 values, ties to even; overflow gives infinity and NaN stays NaN."""
    return values.astype(_BF16).astype(np.float32)


def _fp16(values: Floats) -> Floats:
    return values.astype(np.float16).astype(np.float32)


ROUNDINGS: dict[str, Rounding] = {"fp32": same, "bf16": bf16, "fp16": _fp16}
"""Roundings by the name of what is rounded to."""


def through(values: Floats, fmt: Format) -> Floats:
    """What is left of the rows (..., elements) after storing them in `fmt`, blocked along the last axis.

    NaN and infinities make their whole MX block NaN.
    """
    if not fmt.block:
        return ROUNDINGS[fmt.name](values)
    if fmt.asymmetric:
        coded = quantise_asymmetric(values.astype(np.float64), fmt.bits, fmt.block)
        return dequantise_asymmetric(coded, fmt.block).astype(np.float32)
    number, width = NUMBERS[fmt.name], values.shape[-1]
    if width % fmt.block:
        return round_trip(values, number, fmt.block).astype(np.float32)
    groups = values.reshape(*values.shape[:-1], width // fmt.block, fmt.block)
    exponent, bad = shared_exponent(groups, number)
    # Powers of two in float32 are exact from 2^-149 to 2^127; steps are 2^(exponent - fraction).
    codes = np.ldexp(groups, (number.fraction - exponent)[..., None])
    if number.element is None:
        np.clip(np.rint(codes, out=codes), number.lowest, number.highest, out=codes)
    else:
        top = largest(number.element)
        # What float32 cannot hold of such a quotient is far below the smallest element.
        codes = np.clip(codes, -top, top, out=codes).astype(element_type(number)).astype(np.float32)
    out = np.ldexp(codes, (exponent - number.fraction)[..., None])
    if bad is not None:
        out[bad] = np.nan
    return out.reshape(values.shape)


def shared_exponent(groups: Floats, number: Number) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_] | None]:
    """Exponent of each block (..., block), and which blocks hold a NaN or an infinity (None: none)."""
    peak = np.abs(groups).max(axis=-1)
    bad = ~np.isfinite(peak)
    found = bool(bad.any())
    if found:
        peak[bad] = 0.0
    _, exponent = np.frexp(peak)
    return np.clip(exponent - 1 - number.emax, -SCALE_BIAS, SCALE_BIAS), bad if found else None
