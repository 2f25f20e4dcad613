"""Storing K and V in few bits: block-adaptive smoothing (BAOS) and what it is compared with.

Published of BAOS is its outline only: per-channel factors, taken online at a denoising block's warm step, smooth K
and V before MX quantisation, and their inverse is folded into Q. The definition below is a proposal of this
project:

    calibrate   A[c] = max |x[t, c]| over the rows of the warm step
                s[c] = gain * max(A[c], 2^-20)^exponent, rounded up to BF16
    store       MX(x[t, c] / s[c]); later rows of the block use the same s and are not clamped
    fold        q'[c] = q[c] * s_K[c];   o[c] = s_V[c] * (P V_stored)[c]

With `centred`, m[c] is the midrange over the same rows, A comes from |x - m|, and (x - m) / s is stored: q . m is one
number per query and leaves the softmax alone, and rows of P sum to 1, so m_V is added once per output row.

Rows are (..., rows, channels) in float64; s, A and m are (..., 1, channels), one per sequence, layer and head.
"""

from __future__ import annotations

import attrs
import numpy as np
import numpy.typing as npt

from archsim.errors import ConfigError
from archsim.isa.semantics.asymmetric import Groups, dequantise_asymmetric, quantise_asymmetric
from archsim.isa.semantics.numbers import (
    BLOCK,
    NUMBERS,
    SCALE_NAN,
    Blocks,
    Reals,
    dequantise,
    number_named,
    quantise,
    round_trip,
)

FLOOR = 2.0**-20
"""Least channel maximum: a channel of zeros still gets a scale."""
ASYMMETRIC = "int4_asymmetric"
CALIBRATIONS = ("never", "once", "warm", "step")


def _known_number(_instance: object, _attribute: attrs.Attribute[str], value: str) -> None:
    if value != ASYMMETRIC:
        number_named(value, "scheme.number")


def _known_calibration(_instance: object, _attribute: attrs.Attribute[str], value: str) -> None:
    if value not in CALIBRATIONS:
        raise ConfigError("scheme.calibrated", value, "one of " + ", ".join(CALIBRATIONS))


@attrs.frozen(kw_only=True)
class Scheme:
    """How one of K and V is stored."""

    number: str = attrs.field(default="mxint4", validator=_known_number)
    """A name of `NUMBERS`, or `int4_asymmetric`."""
    calibrated: str = attrs.field(default="never", validator=_known_calibration)
    """When factors are taken: never, once (the first warm step), at each warm step, at every step."""
    exponent: float = 1.0
    gain: float = 8 / 7
    """8/7 puts a channel's maximum on the largest MXINT4 code; with the MASE rule 1 does."""
    centred: bool = False
    power_of_two: bool = False
    """Factors rounded up to powers of two: each multiplication becomes an addition of exponents."""
    exact: bool = False
    """Factors not rounded to BF16; for studies."""
    clipped: bool = False
    """Rows beyond A are clamped to it instead of growing the shared exponent."""
    rotated: bool = False
    """Rows pass an orthonormal Hadamard transform first, and so does Q."""
    by_token: bool = False
    """MX blocks and asymmetric groups lie along rows instead of channels."""

    @property
    def axis(self) -> int:
        """Axis of the blocks."""
        return -2 if self.by_token else -1

    @property
    def bits_per_element(self) -> float:
        """Storage of a code with its share of scale and zero point; channel factors not counted."""
        if self.number == ASYMMETRIC:
            return 4 + 2 * 16 / BLOCK
        return NUMBERS[self.number].bits_per_element()


@attrs.frozen(kw_only=True, eq=False)
class Smoothing:
    """Channel factors of one calibration: maximum A, scale s, centre m."""

    peak: Reals
    scale: Reals
    centre: Reals


@attrs.frozen(kw_only=True, eq=False)
class Stored:
    """Rows as they lie in the cache, and what was counted while they were stored.

    `exceeded` is the number of elements beyond A, `invalid` that of blocks lost to a NaN or an infinity, each per
    leading index.
    """

    codes: Blocks | Groups
    exceeded: npt.NDArray[np.int64]
    invalid: npt.NDArray[np.int64]


def calibrate(rows: Reals, scheme: Scheme, valid: npt.NDArray[np.bool_] | None = None) -> Smoothing:
    """Channel factors from the rows of a warm step.

    `valid` (rows,) leaves padding out. Values that are not finite are left out too: they cost their
    own block, not the channel. Without any row, and for `never`, the factors change nothing.
    """
    turned = rotate(rows) if scheme.rotated else rows
    keep = np.isfinite(turned)
    if valid is not None:
        keep &= valid[:, None]
    centre = _midrange(turned, keep) if scheme.centred else np.zeros_like(turned[..., :1, :])
    peak = np.abs(np.where(keep, turned - centre, 0.0)).max(axis=-2, keepdims=True, initial=0.0)
    if scheme.calibrated == "never":
        return Smoothing(peak=np.full_like(peak, np.inf), scale=np.ones_like(peak), centre=np.zeros_like(peak))
    return Smoothing(peak=peak, scale=_factors(peak, scheme), centre=centre)


def store(rows: Reals, scheme: Scheme, smoothing: Smoothing) -> Stored:
    """Smooth and quantise rows with factors taken before; the factors do not change."""
    turned = rotate(rows) if scheme.rotated else rows
    moved = turned - smoothing.centre
    exceeded = (np.abs(moved) > smoothing.peak).sum(axis=(-2, -1), dtype=np.int64)
    if scheme.clipped:
        moved = np.clip(moved, -smoothing.peak, smoothing.peak)
    smooth = moved / smoothing.scale
    if scheme.number == ASYMMETRIC:
        groups = quantise_asymmetric(smooth, axis=scheme.axis)
        lost = np.isnan(groups.zero).sum(axis=(-2, -1), dtype=np.int64)
        return Stored(codes=groups, exceeded=exceeded, invalid=lost)
    blocks = quantise(smooth, NUMBERS[scheme.number], axis=scheme.axis)
    lost = (blocks.scales == SCALE_NAN).sum(axis=(-2, -1), dtype=np.int64)
    return Stored(codes=blocks, exceeded=exceeded, invalid=lost)


def load(stored: Stored, scheme: Scheme) -> Reals:
    """Stored rows as attention sees them: still smoothed, centred and rotated."""
    if isinstance(stored.codes, Groups):
        return dequantise_asymmetric(stored.codes, axis=scheme.axis)
    return dequantise(stored.codes, NUMBERS[scheme.number], axis=scheme.axis)


def recover(stored: Stored, scheme: Scheme, smoothing: Smoothing) -> Reals:
    """Stored rows in the coordinates of the original ones."""
    return fold_output(load(stored, scheme), scheme, smoothing)


def fold_query(query: Reals, scheme: Scheme, smoothing: Smoothing) -> Reals:
    """Queries (..., queries, channels), after rotary embedding and 1/sqrt(d), for use with stored K.

    With centred K the logits of a query miss the constant q . m, which no softmax sees.
    """
    turned = rotate(query) if scheme.rotated else query
    return turned * smoothing.scale


def fold_output(output: Reals, scheme: Scheme, smoothing: Smoothing) -> Reals:
    """Attention output over stored V, whose weights sum to 1 in each row, in the original coordinates."""
    turned = output * smoothing.scale + smoothing.centre
    return rotate(turned) if scheme.rotated else turned


def rotate(rows: Reals) -> Reals:
    """The orthonormal Hadamard transform of the last axis, which is its own inverse.

    Raises ConfigError where the axis is no power of two.
    """
    width = rows.shape[-1]
    if width < 1 or width & (width - 1):
        raise ConfigError("hadamard", width, "a power of two channels")
    out, half = rows, 1
    while half < width:
        pairs = out.reshape(*rows.shape[:-1], width // (2 * half), 2, half)
        upper, lower = pairs[..., 0, :], pairs[..., 1, :]
        out = np.stack([upper + lower, upper - lower], axis=-2).reshape(rows.shape)
        half *= 2
    scaled: Reals = out / np.sqrt(width)
    return scaled


def _midrange(rows: Reals, keep: npt.NDArray[np.bool_]) -> Reals:
    high = np.max(rows, axis=-2, keepdims=True, where=keep, initial=-np.inf)
    low = np.min(rows, axis=-2, keepdims=True, where=keep, initial=np.inf)
    seen = keep.any(axis=-2, keepdims=True)
    return np.where(seen, np.where(seen, high, 0.0) / 2 + np.where(seen, low, 0.0) / 2, 0.0)


def _factors(peak: Reals, scheme: Scheme) -> Reals:
    wanted: Reals = scheme.gain * np.maximum(peak, FLOOR) ** scheme.exponent
    if scheme.power_of_two:
        mantissa, exponent = np.frexp(wanted)
        return np.asarray(np.ldexp(1.0, exponent - (mantissa == 0.5)), dtype=np.float64)
    return wanted if scheme.exact else bf16_up(wanted)


def bf16_up(values: Reals) -> Reals:
    """Positive values rounded up to BF16."""
    near = round_trip(values, NUMBERS["bf16"])
    _, exponent = np.frexp(values)
    return np.where(near < values, near + np.ldexp(1.0, exponent - 8), near)
