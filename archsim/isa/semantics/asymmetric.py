"""Asymmetric integers: codes 0..2^bits - 1 between the smallest and the largest value of a group.

Scale and zero point are FP16, as KIVI stores them (Liu et al., ICML 2024); at 4 bits and groups of 32 an element
takes 5.0 bits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from archsim.isa.semantics.numbers import Reals

_FP16_MAX = 65504.0


class Groups(NamedTuple):
    """Codes in the array's shape; scale and zero point with the axis shortened to its number of groups."""

    codes: npt.NDArray[np.uint8]
    scale: npt.NDArray[np.float16]
    zero: npt.NDArray[np.float16]


def quantise_asymmetric(array: Reals, bits: int = 4, group: int = 32, axis: int = -1) -> Groups:
    """Codes, scales and zero points along `axis`; the last group may be short.

    A group of equal values has scale 0 and codes 0; a group with a NaN or an infinity has a NaN zero point.
    Scale and zero point saturate.
    """
    last = np.moveaxis(array, axis, -1)
    length = last.shape[-1]
    # Its last value again fills a short group, and changes neither smallest nor largest.
    full = np.concatenate([last, np.repeat(last[..., -1:], -length % group, axis=-1)], axis=-1)
    cut = full.reshape(*last.shape[:-1], -1, group)
    bad = np.asarray(~np.isfinite(cut).all(axis=-1))
    cut = np.where(bad[..., None], 0.0, cut)
    low, high = cut.min(axis=-1), cut.max(axis=-1)
    top = (1 << bits) - 1
    scale = np.minimum((high - low) / top, _FP16_MAX).astype(np.float16)
    zero = np.where(bad, np.nan, np.clip(low, -_FP16_MAX, _FP16_MAX)).astype(np.float16)
    step = np.where(scale > 0, scale.astype(np.float64), 1.0)[..., None]
    base = np.where(bad, 0.0, zero.astype(np.float64))[..., None]
    codes = np.clip(np.rint((cut - base) / step), 0, top) * (scale > 0)[..., None]
    whole = codes.astype(np.uint8).reshape(full.shape)[..., :length]
    return Groups(np.moveaxis(whole, -1, axis), np.moveaxis(scale, -1, axis), np.moveaxis(zero, -1, axis))


def dequantise_asymmetric(groups: Groups, group: int = 32, axis: int = -1) -> Reals:
    """Codes times scale plus zero point, in the shape of the codes."""
    codes = groups.codes.astype(np.float64)
    places = np.arange(codes.shape[axis]) // group
    scale = groups.scale.astype(np.float64).take(places, axis=axis)
    zero = groups.zero.astype(np.float64).take(places, axis=axis)
    return codes * scale + zero
