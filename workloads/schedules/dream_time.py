"""Dream's time steps, in the single precision the reference computes them in, which decides where int() cuts."""

from __future__ import annotations

import struct


def single(value: float) -> float:
    """The nearest IEEE single-precision number."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


def time_steps(steps: int, eps: float) -> list[float]:
    """steps + 1 times from 1 down to eps, as torch.linspace makes them: from both ends towards the middle."""
    end = single(eps)
    step = single(single(end - 1.0) / steps)
    half = (steps + 1) // 2
    upper = [single(1.0 + single(step * i)) for i in range(half)]
    return upper + [single(end - single(step * (steps - i))) for i in range(half, steps + 1)]


def commit_share(now: float, then: float) -> float:
    """Share of the masked rows that commits between two times: 1 - then / now."""
    return single(1.0 - single(then / now))


def share_of(masked: int, now: float, then: float) -> int:
    """That share of `masked` rows, rounded down."""
    return int(single(masked * commit_share(now, then)))
