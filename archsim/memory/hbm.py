"""The DRAM of a machine: parameters, and one `access` call per DMA instruction."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from archsim.errors import ConfigError
from archsim.kernel.snapshot import Visitor
from archsim.kernel.transfer import Share
from archsim.memory.addressmap import AddressMap
from archsim.memory.channel import RunTimer
from archsim.memory.delays import make_delays
from archsim.memory.lanes import LaneSet
from archsim.memory.opening import RowCounters
from archsim.memory.pagelevel import PageSet, make_page_set
from archsim.memory.refresh import Refresh, Spread, make_refresh, make_spread
from archsim.memory.rowbus import RowBuses
from archsim.memory.shapes import ShapeBook
from archsim.memory.timing import DramTiming, find_timing
from archsim.memory.windows import WindowTimer
from archsim.units import Bytes

MODES = ("run", "page")


@attrs.frozen(kw_only=True)
class HbmParams:
    """`channels` physical channels of `pseudo_channels` each, `timing` a name in `timing.TIMINGS`.

    `refresh` is "all-bank", "per-bank" or "off"; `mode` "run" (closed form) or "page" (reference, slow).
    `smooth` spreads the time that refresh takes evenly over the data instead of cutting windows out of
    the bus: the same long-run bandwidth, without a phase, which is what lets replay see iterations as equal.
    """

    channels: int
    pseudo_channels: int
    timing: str
    capacity: Bytes
    refresh: str = "all-bank"
    smooth: bool = False
    interleave: Bytes = Bytes(128)
    mode: str = "run"

    def __attrs_post_init__(self) -> None:
        """Raise ConfigError for values without meaning; sizes are checked by the address map."""
        find_timing(self.timing)
        for field in ("channels", "pseudo_channels"):
            if getattr(self, field) < 1:
                raise ConfigError(f"memory.{field}", getattr(self, field), "a positive integer")
        if self.mode not in MODES:
            raise ConfigError("memory.mode", self.mode, "one of " + ", ".join(MODES))


@attrs.define(eq=False, init=False)
class HbmMemory:
    """All channels of one DRAM. Calls come in order of time; each books its bytes behind earlier calls."""

    params: HbmParams
    timing: DramTiming
    map: AddressMap
    refresh: Refresh
    rows: RowCounters
    engine: LaneSet | PageSet
    _windows: Refresh
    read_bytes: int
    write_bytes: int

    def __init__(self, params: HbmParams) -> None:
        """Build an idle memory with all rows closed; raises ConfigError."""
        timing = find_timing(params.timing)
        count = params.channels * params.pseudo_channels
        self.params, self.timing = params, timing
        self.map = AddressMap(
            channels=count,
            capacity=params.capacity,
            page_bytes=timing.page_bytes,
            bank_groups=timing.bank_groups,
            banks=timing.banks_per_group,
            interleave=params.interleave,
        )
        if params.interleave < timing.burst_bytes:
            raise ConfigError("memory.interleave", params.interleave, f"at least a burst of {timing.burst_bytes} B")
        self.refresh = make_refresh(timing, params.refresh)
        self._windows = make_refresh(timing, "off") if params.smooth else self.refresh
        self.rows = RowCounters()
        self.read_bytes = self.write_bytes = 0
        self.engine = self._make_engine()

    def _make_engine(self) -> LaneSet | PageSet:
        timing, per = self.timing, self.params.pseudo_channels
        if self.params.mode == "page":
            return make_page_set(timing, self.map, self._windows, self.rows, per)
        shapes = ShapeBook(make_delays(timing, per), self.map, timing.burst_bytes, self._make_spread())
        if self._windows.interval_ps:
            return LaneSet(WindowTimer(shapes, RowBuses(per), self.rows, self._windows))
        return LaneSet(RunTimer(shapes, RowBuses(per), self.rows))

    def _make_spread(self) -> Spread:
        """Refresh spread over data, of which windows leave nothing."""
        timing, period = self.timing, self.period_bytes // self.map.channels
        refresh = self.refresh if self.params.smooth else make_refresh(timing, "off")
        return make_spread(refresh, period, period // timing.burst_bytes * timing.burst_cycles * timing.tck_ps)

    @property
    def channel_count(self) -> int:
        """Channels with a data bus of their own (pseudo-channels)."""
        return self.map.channels

    @property
    def peak_bytes_per_s(self) -> int:
        """Data-bus rate of all channels together."""
        return self.map.channels * self.timing.peak_bytes_per_s

    @property
    def latency_ps(self) -> int:
        """Read of one burst from a closed bank of an idle memory: tRCD + CL + burst, in ps."""
        timing = self.timing
        return (timing.rcd_rd + timing.cl + timing.burst_cycles) * timing.tck_ps

    @property
    def elapsed_offset_ps(self) -> int:
        """Time that replay skipped; elapsed time, which sets the refresh phase, is simulated time plus this."""
        return self.refresh.offset_ps

    @elapsed_offset_ps.setter
    def elapsed_offset_ps(self, value: int) -> None:
        self.refresh.offset_ps = value

    def access(self, at_ps: int, extents: Sequence[tuple[int, int]], write: bool) -> list[Share]:
        """Book one request for `extents` of (byte address, bytes) that reaches the memory at `at_ps`.

        Returns one share per group of equally timed channels; raises MemoryFault, with nothing booked,
        where an extent leaves the capacity.
        """
        groups = self.map.split(extents)
        total = 0
        for _, nbytes in extents:
            total += nbytes
        if write:
            self.write_bytes += total
        else:
            self.read_bytes += total
        return self.engine.serve(at_ps, groups, write)

    def shares(self, extents: Sequence[tuple[int, int]]) -> list[tuple[tuple[int, ...], int]]:
        """(channels, bytes on each of them) of a transfer, without booking it; raises MemoryFault."""
        return [(channels, sum([nbytes for _, nbytes in runs])) for channels, runs in self.map.split(extents)]

    @property
    def period_bytes(self) -> int:
        """Addresses this far apart lie in the same channel, bank and column, in successive rows."""
        return self.map.channels * self.timing.page_bytes * self.timing.bank_groups * self.timing.banks_per_group

    def replay(self, visitor: Visitor) -> None:
        """Channels, row buses and totals; rows move with the addresses. Run mode without refresh windows only."""
        engine, rows = self.engine, self.rows
        assert isinstance(engine, LaneSet)
        self.read_bytes = visitor.count(self.read_bytes)
        self.write_bytes = visitor.count(self.write_bytes)
        rows.row_hits = visitor.count(rows.row_hits)
        rows.row_misses = visitor.count(rows.row_misses)
        rows.row_conflicts = visitor.count(rows.row_conflicts)
        engine.replay(visitor)

    def counters(self) -> dict[str, int]:
        """Bytes as requested; pages found open, closed, or holding another row; refreshes met so far.

        Row figures and refreshes are sums over channels, a refresh counted when its channel is next used.
        """
        rows = self.rows
        return {
            "read_bytes": self.read_bytes,
            "write_bytes": self.write_bytes,
            "row_hits": rows.row_hits,
            "row_misses": rows.row_misses,
            "row_conflicts": rows.row_conflicts,
            "refreshes": rows.refreshes,
        }

    def refreshes_in(self, duration_ps: int) -> int:
        """Refresh commands of all channels in a run of that length, where they are spread evenly."""
        interval = self.refresh.interval_ps
        return duration_ps // interval * self.map.channels if self.params.smooth and interval else 0

    def busy_ps(self) -> list[int]:
        """Per channel, the time its data bus carried data."""
        return self.engine.busy_ps()

    def refresh_free(self, duration_ps: int) -> int:
        """Time of a run of `duration_ps` in which data may move: less floor(T / tREFI) * tRFC."""
        return self.refresh.free_ps(duration_ps)
