"""Floating-point constants, made by the program itself: FP_MEM has no image."""

from __future__ import annotations

import math

from workloads.lowering.emit.builder import Builder
from workloads.lowering.emit.places import (
    F_CUBIC,
    F_EPSILON,
    F_HEAD,
    F_HUGE,
    F_LINEAR,
    F_MEAN,
    F_ONE,
    F_SCALE,
    F_SHARE,
    F_TINY,
)
from workloads.shape import ModelShape

_ONE, _RESULT, _NUMERATOR = 1, 2, 3
HUGE = 2.0**96
"""More than any score divided by the least difference of two; its inverse is a number too."""
_GELU = ((F_LINEAR, 15958, 10000), (F_CUBIC, 71355, 1000000))
"""GELU by tanh is x / (1 + exp(-x (a + b x^2))): a = 2 sqrt(2 / pi), b = 0.044715 a, as ratios of integers."""


def emit_constants(b: Builder, model: ModelShape, cores: int) -> None:
    """Store 1, 1 / hidden, epsilon (as 1 / the nearest integer), 1 / cores and what else the model needs."""
    b.emit("S_EXP_FP", _ONE, 0)
    b.emit("S_ST_FP", _ONE, 0, F_ONE)
    words = [(F_MEAN, model.hidden), (F_EPSILON, round(1 / model.norm_eps)), (F_SHARE, cores)]
    for word, value in words + [(F_HEAD, model.head_dim)] * model.qk_norm:
        _count(b, value)
        b.emit("S_RECI_FP", _RESULT, _RESULT)
        b.emit("S_ST_FP", _RESULT, 0, word)
    if model.mlp == "gelu":
        for word, numerator, denominator in _GELU:
            emit_ratio(b, word, numerator, denominator)
    if model.experts is not None:
        for word, factor in ((F_HUGE, HUGE), (F_TINY, 1 / HUGE), (F_SCALE, model.experts.scale)):
            emit_value(b, factor, word)


def emit_ratio(b: Builder, word: int, numerator: int, denominator: int) -> None:
    """Store a ratio of positive integers."""
    _count(b, numerator)
    b.emit("S_ADD_FP", _NUMERATOR, _RESULT, 0)
    _count(b, denominator)
    b.emit("S_RECI_FP", _RESULT, _RESULT)
    b.emit("S_MUL_FP", _RESULT, _RESULT, _NUMERATOR)
    b.emit("S_ST_FP", _RESULT, 0, word)


def _count(b: Builder, value: int) -> None:
    """f2 = a positive integer, by doubling and adding one."""
    b.emit("S_ADD_FP", _RESULT, _ONE, 0)
    for bit in f"{value:b}"[1:]:
        b.emit("S_ADD_FP", _RESULT, _RESULT, _RESULT)
        if bit == "1":
            b.emit("S_ADD_FP", _RESULT, _RESULT, _ONE)


def emit_value(b: Builder, value: float, word: int) -> None:
    """FP_MEM[word] = a positive number, rounded to 8 significant bits, as BF16 has them. Overwrites f1 to f3."""
    b.emit("S_EXP_FP", _ONE, 0)
    mantissa, exponent = math.frexp(value)
    digits, places = round(mantissa * 256), 8 - exponent
    emit_ratio(b, word, digits << max(0, -places), 1 << max(0, places))
