"""Fixed-latency memory: the closed form, exactly."""

from __future__ import annotations

import pytest

from archsim.errors import ConfigError, MemoryFault
from archsim.kernel.transfer import Share
from archsim.memory.fixed import FixedMemory, FixedParams
from archsim.units import Bytes, BytesPerSecond, Ps


def pipe(latency: int = 100_000, bandwidth: int = 3 * 10**9) -> FixedMemory:
    return FixedMemory(FixedParams(latency=Ps(latency), bandwidth=BytesPerSecond(bandwidth), capacity=Bytes(1 << 20)))


def test_latency_plus_bytes_over_bandwidth_rounded_up() -> None:
    mem = pipe()
    assert mem.access(7, [(0, 600), (1024, 400)], write=False) == [Share((0,), 1000, 100_007, 100_007 + 333_334)]


def test_requests_queue_for_the_pipe_not_for_the_latency() -> None:
    mem = pipe()
    mem.access(0, [(0, 3000)], write=False)
    (queued,) = mem.access(10, [(0, 3000)], write=True)
    assert queued.last_ps == 2 * 1_000_000 + 100_000
    (idle,) = mem.access(2_000_000, [(0, 3)], write=False)
    assert idle.first_ps == 2_100_000
    assert mem.busy_ps() == [2_001_000]
    assert (mem.counters()["read_bytes"], mem.counters()["write_bytes"]) == (3003, 3000)


def test_interface_of_a_memory() -> None:
    mem = pipe()
    assert (mem.channel_count, mem.peak_bytes_per_s, mem.latency_ps) == (1, 3 * 10**9, 100_000)
    assert mem.refresh_free(5) == 5
    assert mem.access(0, [], write=False) == []
    assert mem.shares([(0, 5), (64, 7)]) == [((0,), 12)]
    assert mem.shares([]) == []


def test_faults() -> None:
    with pytest.raises(MemoryFault, match="capacity of 0x100000"):
        pipe().access(0, [((1 << 20) - 1, 2)], write=False)
    with pytest.raises(ConfigError, match=r"memory\.bandwidth"):
        pipe(bandwidth=0)
    with pytest.raises(ConfigError, match=r"memory\.latency"):
        pipe(latency=-1)
