"""Cycles of a systolic array by itself: weight, output or input stationary, in closed form.

An operand stays in the array for one *fold*; folds cover the matrix product in pieces as large as the array.
Without double buffering folds follow one another, each with its own fill and drain: what SCALE-Sim v3.0.0
counts, to the cycle (its 11 measured products on a 128 x 128 array; R and C apart are read off its expression).
With `double_buffer` the next fold's stationary operand is loaded while rows stream, so that a fold takes as
long as the longer of the two, and the array fills and drains once.
"""

from __future__ import annotations

import attrs

from archsim.errors import ConfigError

DATAFLOWS = ("ws", "os", "is")
"""Weight, output and input stationary."""


@attrs.frozen(kw_only=True)
class Gemm:
    """A product of an m x k and a k x n matrix; raises ConfigError for sizes below 1."""

    m: int
    n: int
    k: int

    def __attrs_post_init__(self) -> None:
        for name, value in (("m", self.m), ("n", self.n), ("k", self.k)):
            if value < 1:
                raise ConfigError(name, value, "a positive integer")

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.m * self.n * self.k


@attrs.frozen(kw_only=True)
class SystolicArray:
    """`rows` x `columns` MAC units; raises ConfigError for a size below 1 or an unknown dataflow."""

    rows: int
    columns: int
    dataflow: str = "ws"
    double_buffer: bool = False

    def __attrs_post_init__(self) -> None:
        for name, value in (("rows", self.rows), ("columns", self.columns)):
            if value < 1:
                raise ConfigError(f"array {name}", value, "a positive integer")
        if self.dataflow not in DATAFLOWS:
            raise ConfigError("dataflow", self.dataflow, "one of " + ", ".join(DATAFLOWS))
        if self.double_buffer and self.dataflow == "os":
            raise ConfigError("double buffering", "os", "ws or is: outputs stay where they are made")

    def folds(self, gemm: Gemm) -> int:
        """Pieces that the product falls into."""
        down, across = self._mapped(gemm)[:2]
        return -(-down // self.rows) * -(-across // self.columns)

    def cycles(self, gemm: Gemm) -> int:
        """Cycles from the first operand to the last result, at least 1."""
        return max(1, self._last(gemm))

    def _last(self, gemm: Gemm) -> int:
        """Cycle of the last result, counted from 0, which is what SCALE-Sim reports."""
        streamed, folds = self._mapped(gemm)[2], self.folds(gemm)
        fill = self.rows + self.columns - 2
        if self.dataflow == "os":
            return folds * (streamed + fill) - 1
        if not self.double_buffer:
            return folds * (self.rows + streamed + fill) - 1
        return self.rows + (folds - 1) * max(streamed, self.rows) + streamed + fill - 1

    def utilisation(self, gemm: Gemm) -> float:
        """Multiply-accumulates over what the array could do in `cycles`."""
        return gemm.macs / (self.rows * self.columns * self.cycles(gemm))

    def _mapped(self, gemm: Gemm) -> tuple[int, int, int]:
        """Dimensions laid along rows, along columns, and streamed through."""
        if self.dataflow == "ws":
            return gemm.k, gemm.n, gemm.m
        if self.dataflow == "is":
            return gemm.k, gemm.m, gemm.n
        return gemm.m, gemm.n, gemm.k
