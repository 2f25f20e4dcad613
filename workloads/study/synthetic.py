"""Synthetic keys, values and queries of a dLLM generation with block-wise denoising.

Keys have lognormal channel scales and a few outlier rotary pairs with a stable mean; between blocks the scales do a
random walk and outliers may move, between the steps of a block rows change a little, and masked rows are
smaller. The constants are guesses, not measurements of a model.
"""

from __future__ import annotations

import attrs
import numpy as np
import numpy.typing as npt

from archsim.isa.semantics.numbers import Reals

HEADS, CHANNELS = 4, 128
PROMPT, BLOCKS, BLOCK_ROWS, STEPS = 128, 8, 32, 8
ROWS = PROMPT + BLOCKS * BLOCK_ROWS
ROPE_BASE = 500_000.0
QUERY_SCALE = 0.12
_PAIRS = CHANNELS // 2
_SLOW_PAIRS = np.arange(_PAIRS // 2, _PAIRS)
_VALUE_OUTLIER = 7


@attrs.frozen(kw_only=True)
class Scenario:
    """How K and V change: standard deviations and probabilities of the synthetic process."""

    about: str
    drift: float = 0.35
    """Of the random walk of a channel's scale from block to block, in octaves."""
    step_drift: float = 0.05
    """Of a channel's logarithmic scale from step to step."""
    mask: float = 0.6
    """Size of rows of masked tokens."""
    move: float = 0.25
    """Probability, per head and block, that an outlier pair moves."""
    outliers: int = 4
    """Outlier rotary pairs per head."""


SCENARIOS = {
    "A": Scenario(about="outliers, drift"),
    "B": Scenario(about="no drift", drift=0.0, step_drift=0.0, mask=1.0, move=0.0),
    "C": Scenario(about="no outliers", outliers=0),
    "D": Scenario(about="strong drift", drift=0.7, move=0.5),
}


def rope(rows: Reals, positions: npt.NDArray[np.int64]) -> Reals:
    """Rotary embedding of (..., rows, channels) in the half-split form."""
    angle = positions[:, None] * ROPE_BASE ** (-np.arange(_PAIRS) * 2.0 / CHANNELS)
    cosine, sine = np.cos(angle), np.sin(angle)
    low, high = rows[..., :_PAIRS], rows[..., _PAIRS:]
    return np.concatenate([low * cosine - high * sine, high * cosine + low * sine], axis=-1)


class Generation:
    """K, V and Q of one generation; the order of its random draws is part of its definition.

    K is before rotary embedding. Arrays are (heads, rows, channels).
    """

    def __init__(self, seed: int, scenario: Scenario) -> None:
        self.scenario = scenario
        self.random = np.random.default_rng(seed)
        draw, shape = self.random, (HEADS, CHANNELS)
        self._log_k = 0.3 * draw.standard_normal(shape)
        self._log_v = 0.3 * draw.standard_normal(shape)
        self._log_q = 0.2 * draw.standard_normal(shape)
        count = scenario.outliers
        self._pairs = np.stack([draw.choice(_SLOW_PAIRS, count, replace=False) for _ in range(HEADS)])
        self._gain = draw.uniform(8, 16, (HEADS, count))
        self._sign = draw.choice([-1.0, 1.0], (HEADS, count, 2))
        self._noise_k = draw.standard_normal((HEADS, ROWS, CHANNELS))
        self._noise_v = draw.standard_normal((HEADS, ROWS, CHANNELS))
        self._step_k = self._step_v = np.zeros(shape)

    def enter_block(self, block: int) -> None:
        """Drift to the next block and draw the rows from it on anew."""
        draw = self.random
        if block:
            octaves = self.scenario.drift * np.log(2)
            self._log_k = self._log_k + octaves * draw.standard_normal((HEADS, CHANNELS))
            self._log_v = self._log_v + octaves * draw.standard_normal((HEADS, CHANNELS))
            self._move_outliers()
        first = PROMPT + block * BLOCK_ROWS
        self._noise_k[:, first:] = draw.standard_normal((HEADS, ROWS - first, CHANNELS))
        self._noise_v[:, first:] = draw.standard_normal((HEADS, ROWS - first, CHANNELS))
        self._step_k = draw.standard_normal((HEADS, CHANNELS))
        self._step_v = draw.standard_normal((HEADS, CHANNELS))

    def kv(self, step: int, resolved: npt.NDArray[np.bool_]) -> tuple[Reals, Reals]:
        """All rows at one step; `resolved` (rows,) tells tokens from masks."""
        drift_k = np.exp(self.scenario.step_drift * step * self._step_k)
        drift_v = np.exp(self.scenario.step_drift * step * self._step_v)
        k = (np.exp(self._log_k) * drift_k)[:, None] * self._noise_k
        v = (np.exp(self._log_v) * drift_v)[:, None] * self._noise_v
        for head, slot, half in np.ndindex(HEADS, self.scenario.outliers, 2):
            channel = self._pairs[head, slot] + half * _PAIRS
            spread = self._sign[head, slot, half] + 0.3 * self._noise_k[head, :, channel]
            k[head, :, channel] = self._gain[head, slot] * drift_k[head, channel] * spread
        v[:, :, _VALUE_OUTLIER] *= 4
        size = np.where(resolved, 1.0, self.scenario.mask)[:, None]
        return k * size, v * size

    def queries(self, positions: npt.NDArray[np.int64]) -> Reals:
        """Queries of the rows at `positions`, after rotary embedding and scaling."""
        noise = self.random.standard_normal((HEADS, len(positions), CHANNELS))
        return rope(np.exp(self._log_q)[:, None] * noise * QUERY_SCALE, positions)

    def _move_outliers(self) -> None:
        draw, count = self.random, self.scenario.outliers
        for pairs in self._pairs:
            if count and draw.random() < self.scenario.move:
                pairs[draw.integers(count)] = draw.choice(np.setdiff1d(_SLOW_PAIRS, pairs))
