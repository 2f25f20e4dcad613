"""Floating-point constants, made by the program itself: FP_MEM has no image."""

from __future__ import annotations

from workloads.lowering.builder import Builder
from workloads.lowering.context import F_EPSILON, F_MEAN, F_ONE, F_SHARE

_ONE, _RESULT = 1, 2


def emit_constants(b: Builder, hidden: int, epsilon: float, cores: int) -> None:
    """Store 1, 1 / hidden, epsilon (as 1 / the nearest integer) and 1 / cores where F_* say."""
    b.emit("S_EXP_FP", _ONE, 0)
    b.emit("S_ST_FP", _ONE, 0, F_ONE)
    for word, value in ((F_MEAN, hidden), (F_EPSILON, round(1 / epsilon)), (F_SHARE, cores)):
        _count(b, value)
        b.emit("S_RECI_FP", _RESULT, _RESULT)
        b.emit("S_ST_FP", _RESULT, 0, word)


def _count(b: Builder, value: int) -> None:
    """f2 = a positive integer, by doubling and adding one."""
    b.emit("S_ADD_FP", _RESULT, _ONE, 0)
    for bit in f"{value:b}"[1:]:
        b.emit("S_ADD_FP", _RESULT, _RESULT, _RESULT)
        if bit == "1":
            b.emit("S_ADD_FP", _RESULT, _RESULT, _ONE)
