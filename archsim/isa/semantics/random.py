"""Random lanes. Nothing is remembered between instructions: equal numbers give equal draws."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from archsim.isa.semantics.state import Call, CoreState, Write
from archsim.isa.semantics.vector import result

_STEP = 0x9E3779B97F4A7C15
_MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))
"""Constants of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""


def hashed(number: int, count: int) -> npt.NDArray[np.uint64]:
    """`count` 64-bit words of stream `number`: SplitMix64's output function of its state, twice."""
    stream = _mixed(np.array([number & (1 << 64) - 1], np.uint64) * np.uint64(_STEP))
    return _mixed(stream + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_STEP))


def _mixed(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    for places, factor in _MIX:
        words = (words ^ (words >> np.uint64(places))) * np.uint64(factor)
    return words


def draws(number: int, rows: int, lanes: int) -> npt.NDArray[np.float64]:
    """(rows, lanes) of -log(-log(u)), u the upper 24 bits of the words as a number strictly between 0 and 1."""
    u = ((hashed(number, rows * lanes) >> np.uint64(40)).astype(np.float64) + 0.5) / 2.0**24
    return -np.log(-np.log(u)).reshape(rows, lanes)


def gumbel(core: CoreState, call: Call) -> list[Write]:
    """Draws for every lane of every row, in stream rs1."""
    target, number = call.arguments
    values = draws(number, call.sticky.v_rows, core.shape.vlen).astype(np.float32)
    return result(core, call, target, values)
