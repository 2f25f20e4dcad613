"""The same loads on the memory models that machines run on, which book each request when it is made.

Requests of one burst reach `HbmMemory` in order, each as soon as the buffer of its direction has an entry free. An
entry is held until the burst's column command: the time of its first data, less tCL or tCWL. Streams are
consecutive addresses, which the address map spreads over pseudo-channels and bank groups.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from heapq import heapreplace

from archsim.errors import ConfigError
from archsim.memory.hbm import HbmMemory, HbmParams
from archsim.micro.hbm_measure import HbmLoad, HbmResult, rates
from archsim.units import Bytes

CAPACITY = 1 << 30


def measure_machine(timing: str, load: HbmLoad, mode: str) -> HbmResult:
    """Put the load on one channel of a memory of that `mode`, "run" or "page"; raises ConfigError for a probe."""
    if load.pattern == "probe" or load.gap > 1:
        raise ConfigError("--mode", mode, 'mode "command" for a probe or a gap')
    memory = HbmMemory(
        HbmParams(
            channels=1,
            pseudo_channels=load.pseudo_channels,
            timing=timing,
            capacity=Bytes(CAPACITY),
            refresh="all-bank" if load.refresh else "off",
            mode=mode,
        )
    )
    dram = memory.timing
    free = {False: [0] * dram.read_buffer, True: [0] * dram.write_buffer}
    column = {False: dram.cl * dram.tck_ps, True: dram.cwl * dram.tck_ps}
    at = last = latency = reads = 0
    for address, write in _requests(load, dram.burst_bytes):
        at = max(at, free[write][0])
        (share,) = memory.access(at, [(address, dram.burst_bytes)], write)
        heapreplace(free[write], max(at, share.first_ps - column[write]))
        last = max(last, share.last_ps)
        if not write:
            latency += share.last_ps - at
            reads += 1
    return rates(dram, load, memory.rows, duration_ps=last, reads=reads, latency_ps=latency)


def _requests(load: HbmLoad, burst_bytes: int) -> Iterator[tuple[int, bool]]:
    """(address, whether a write) of each burst."""
    rng = random.Random(load.seed)
    bursts = CAPACITY // burst_bytes
    for index in range(load.requests):
        place = rng.randrange(bursts) if load.pattern == "random" else index % bursts
        yield place * burst_bytes, load.read_pct < 100 and rng.randrange(100) >= load.read_pct
