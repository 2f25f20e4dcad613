"""Saturated traffic on one channel of two pseudo-channels, against Ramulator 2.1.

Expected GB/s were measured with Ramulator 2.1 (CMU-SAFARI/ramulator2, commit c5b1c3a), HBM2 at 2.0 Gb/s and
HBM3 at 6.4 Gb/s; the random read rates without refresh agree with row-bus and tFAW closed forms.
"""

from __future__ import annotations

import random

import pytest

from archsim.memory.hbm import HbmMemory, HbmParams
from archsim.units import Bytes

CAPACITY = 1 << 30


def channel(timing: str, refresh: str) -> HbmMemory:
    return HbmMemory(HbmParams(channels=1, pseudo_channels=2, timing=timing, capacity=Bytes(CAPACITY), refresh=refresh))


def stream(mem: HbmMemory, block: int, total: int, period: int) -> float:
    """GB/s of sequential blocks, every `period`-th a write (0: none, 1: all)."""
    last = 0
    for index in range(total // block):
        write = bool(period) and index % period == period - 1
        last = max(last, *(s.last_ps for s in mem.access(0, [(index * block, block)], write)))
    return total * 1000 / last


@pytest.mark.parametrize(
    ("timing", "refresh", "period", "measured", "tolerance"),
    [
        ("HBM2-2000", "off", 0, 31.99, 0.002),
        ("HBM2-2000", "all-bank", 0, 28.693, 0.01),
        ("HBM2-2000", "all-bank", 1, 28.644, 0.01),
        ("HBM3-6400", "off", 0, 51.044, 0.005),
        ("HBM3-6400", "all-bank", 0, 45.907, 0.01),
        ("HBM3-6400", "all-bank", 1, 45.96, 0.01),
    ],
)
def test_streams(timing: str, refresh: str, period: int, measured: float, tolerance: float) -> None:
    assert stream(channel(timing, refresh), 8192, 1 << 22, period) == pytest.approx(measured, rel=tolerance)


@pytest.mark.parametrize("block", [256, 8192])
@pytest.mark.parametrize(
    ("timing", "refresh", "period", "measured"),
    [
        ("HBM2-2000", "off", 3, 26.626),
        ("HBM2-2000", "all-bank", 3, 23.849),
        ("HBM2-2000", "all-bank", 2, 22.032),
        ("HBM3-6400", "all-bank", 3, 34.37),
        ("HBM3-6400", "all-bank", 2, 29.83),
    ],
)
def test_mixed_streams(timing: str, refresh: str, period: int, measured: float, block: int) -> None:
    rate = stream(channel(timing, refresh), block, 1 << 20, period)
    assert rate == pytest.approx(measured, rel=0.10)


@pytest.mark.parametrize(
    ("timing", "refresh", "measured"),
    [
        ("HBM2-2000", "off", 10.669),
        ("HBM2-2000", "all-bank", 9.672),
        ("HBM3-6400", "off", 16.70),
        ("HBM3-6400", "all-bank", 15.089),
    ],
)
def test_random_reads(timing: str, refresh: str, measured: float) -> None:
    mem, rng, last = channel(timing, refresh), random.Random(1), 0
    count = 20_000
    for _ in range(count):
        (share,) = mem.access(0, [(rng.randrange(CAPACITY // 32) * 32, 32)], write=False)
        last = max(last, share.last_ps)
    assert count * 32 * 1000 / last == pytest.approx(measured, rel=0.05)
