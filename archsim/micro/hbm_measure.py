"""One HBM channel under load, burst by burst through its controller: bandwidth, latency and rows."""

from __future__ import annotations

import random

import attrs

from archsim.memory.controller import Burst, Controller
from archsim.memory.timing import DramTiming
from archsim.micro.hbm_traffic import PATTERNS, FrontEnd, anywhere, make_geometry, make_stream
from archsim.validate import BadValue, at_least, one_of, positive


@attrs.frozen(kw_only=True)
class HbmLoad:
    """What is offered: `requests` bursts in all, `read_pct` per cent of the stream's being reads at random.

    `gap` and the patterns are those of `hbm_traffic`.
    """

    pattern: str = attrs.field(default="stream-bank", validator=one_of(*PATTERNS))
    read_pct: int = attrs.field(default=100, validator=at_least(0))
    requests: int = attrs.field(default=60_000, validator=positive)
    refresh: bool = True
    gap: int = attrs.field(default=1, validator=positive)
    seed: int = 1
    pseudo_channels: int = attrs.field(default=2, validator=positive)

    def __attrs_post_init__(self) -> None:
        """Raise BadValue for more than 100 per cent."""
        if self.read_pct > 100:
            raise BadValue("read_pct", self.read_pct, "a percentage, 0 to 100")


@attrs.frozen(kw_only=True)
class HbmResult:
    """What was measured, from time 0 to the last data; GB are 10^9 bytes.

    A read's latency runs from its place in the buffer to its last data; None where nothing was read, or probed.
    A row hit, miss or conflict is what a request met whose first command found its row open, no row, another row.
    """

    total_GBps: float
    read_GBps: float
    write_GBps: float
    efficiency: float
    avg_read_latency_ns: float | None
    probe_latency_ns: float | None
    row_hits: int
    row_misses: int
    row_conflicts: int
    refreshes: int
    duration_ns: float


@attrs.define(eq=False)
class _Sums:
    """Reads and their latencies in ticks, the probes' also by themselves."""

    reads: int = 0
    ticks: int = 0
    probes: int = 0
    probe_ticks: int = 0

    def add(self, burst: Burst, probe: bool) -> None:
        ticks = burst.done - burst.arrive
        self.reads += 1
        self.ticks += ticks
        if probe:
            self.probes += 1
            self.probe_ticks += ticks


def measure(timing: DramTiming, load: HbmLoad) -> HbmResult:
    """Put the load on one physical channel of that DRAM; the same seed gives the same result."""
    controller = Controller(timing, load.pseudo_channels, refreshing=load.refresh)
    front = _make_front(timing, load, controller)
    sums = _Sums()
    while front.left or controller.busy:
        front.feed()
        controller.step(front.next_clock)
        for burst in controller.finished:
            sums.add(burst, burst is front.probing)
        controller.finished.clear()
    return _result(timing, load, controller, sums)


def _make_front(timing: DramTiming, load: HbmLoad, controller: Controller) -> FrontEnd:
    rng = random.Random(load.seed)
    geometry = make_geometry(timing, load.pseudo_channels)
    places = make_stream(load.pattern, geometry, rng)
    random_places = anywhere(geometry, rng)

    def stream() -> Burst:
        bank, row = next(places)
        return Burst(bank, row, load.read_pct < 100 and rng.randrange(100) >= load.read_pct)

    def probe() -> Burst:
        return Burst(*next(random_places), write=False)

    return FrontEnd(controller, load.gap, load.requests, stream, probe if load.pattern == "probe" else None)


def _result(timing: DramTiming, load: HbmLoad, controller: Controller, sums: _Sums) -> HbmResult:
    duration = controller.picoseconds(controller.last_data)
    reads = sums.reads * timing.burst_bytes * 1000 / duration
    writes = (load.requests - sums.reads) * timing.burst_bytes * 1000 / duration
    counters, peak = controller.counters, timing.peak_bytes_per_s * load.pseudo_channels
    return HbmResult(
        total_GBps=reads + writes,
        read_GBps=reads,
        write_GBps=writes,
        efficiency=(reads + writes) * 1e9 / peak,
        avg_read_latency_ns=controller.picoseconds(sums.ticks) / sums.reads / 1000 if sums.reads else None,
        probe_latency_ns=controller.picoseconds(sums.probe_ticks) / sums.probes / 1000 if sums.probes else None,
        row_hits=counters.row_hits,
        row_misses=counters.row_misses,
        row_conflicts=counters.row_conflicts,
        refreshes=counters.refreshes,
        duration_ns=duration / 1000,
    )
