"""One HBM channel under load, burst by burst through its controller: bandwidth, latency and rows."""

from __future__ import annotations

import random

import attrs

from archsim.memory.controller import Burst, Controller
from archsim.memory.opening import RowCounters
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

    total_GBps: float  # noqa: N815 -- gigabytes, not gigabits
    read_GBps: float  # noqa: N815 -- gigabytes, not gigabits
    write_GBps: float  # noqa: N815 -- gigabytes, not gigabits
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
    ps = controller.picoseconds
    return rates(
        timing,
        load,
        controller.counters,
        duration_ps=ps(controller.last_data),
        reads=sums.reads,
        latency_ps=ps(sums.ticks),
        probe_latency_ns=ps(sums.probe_ticks) / sums.probes / 1000 if sums.probes else None,
    )


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


def rates(
    timing: DramTiming,
    load: HbmLoad,
    counters: RowCounters,
    *,
    duration_ps: int,
    reads: int,
    latency_ps: int,
    probe_latency_ns: float | None = None,
) -> HbmResult:
    """What follows from the time that all requests took, the `reads` among them, and the sum of their latencies."""
    read, write = (count * timing.burst_bytes * 1000 / duration_ps for count in (reads, load.requests - reads))
    return HbmResult(
        total_GBps=read + write,
        read_GBps=read,
        write_GBps=write,
        efficiency=(read + write) * 1e9 / (timing.peak_bytes_per_s * load.pseudo_channels),
        avg_read_latency_ns=latency_ps / reads / 1000 if reads else None,
        probe_latency_ns=probe_latency_ns,
        row_hits=counters.row_hits,
        row_misses=counters.row_misses,
        row_conflicts=counters.row_conflicts,
        refreshes=counters.refreshes,
        duration_ns=duration_ps / 1000,
    )
