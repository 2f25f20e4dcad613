"""Fixed-latency memory: one shared pipe, the model whose run times have an exact closed form."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from archsim.errors import ConfigError, MemoryFault
from archsim.kernel.snapshot import Visitor
from archsim.kernel.transfer import Share
from archsim.units import PS_PER_SECOND, Bytes, BytesPerSecond, Ps


@attrs.frozen(kw_only=True)
class FixedParams:
    """Latency in ps, bandwidth in bytes per second, capacity in bytes."""

    latency: Ps
    bandwidth: BytesPerSecond
    capacity: Bytes

    def __attrs_post_init__(self) -> None:
        """Raise ConfigError for a pipe that moves nothing or answers before it is asked."""
        if self.bandwidth <= 0:
            raise ConfigError("memory.bandwidth", self.bandwidth, "a positive bandwidth")
        if self.capacity <= 0:
            raise ConfigError("memory.capacity", self.capacity, "a positive size")
        if self.latency < 0:
            raise ConfigError("memory.latency", self.latency, "a non-negative time")


@attrs.define(eq=False)
class FixedMemory:
    """finish = max(at, pipe free) + latency + ceil(bytes / bandwidth); the latency does not hold the pipe."""

    params: FixedParams
    elapsed_offset_ps: int = 0
    free_ps: int = 0
    read_bytes: int = 0
    write_bytes: int = 0
    busy: int = 0

    @property
    def channel_count(self) -> int:
        """One pipe."""
        return 1

    @property
    def peak_bytes_per_s(self) -> int:
        """The pipe's bandwidth."""
        return self.params.bandwidth

    @property
    def latency_ps(self) -> int:
        """Fixed latency in ps."""
        return self.params.latency

    def access(self, at_ps: int, extents: Sequence[tuple[int, int]], write: bool) -> list[Share]:
        """Move all `extents` of (byte address, bytes) as one transfer; raises MemoryFault out of range."""
        total = self._total(extents)
        if not total:
            return []
        start = max(at_ps, self.free_ps)
        moving = -(-total * PS_PER_SECOND // self.params.bandwidth)
        self.free_ps = start + moving
        self.busy += moving
        if write:
            self.write_bytes += total
        else:
            self.read_bytes += total
        first = start + self.params.latency
        return [Share((0,), total, first, first + moving)]

    def shares(self, extents: Sequence[tuple[int, int]]) -> list[tuple[tuple[int, ...], int]]:
        """(channels, bytes on each of them) of a transfer, without booking it; raises MemoryFault."""
        total = self._total(extents)
        return [((0,), total)] if total else []

    def _total(self, extents: Sequence[tuple[int, int]]) -> int:
        """Bytes of all extents; raises MemoryFault where one leaves the capacity."""
        total, capacity = 0, self.params.capacity
        for address, nbytes in extents:
            if address < 0 or nbytes < 0 or address + nbytes > capacity:
                raise MemoryFault(
                    f"memory: access to bytes {address:#x}..{address + nbytes:#x} ({nbytes} B); "
                    f"expected a range inside the capacity of {capacity:#x} ({capacity} B)"
                )
            total += nbytes
        return total

    @property
    def period_bytes(self) -> int:
        """Moving every address by this changes no time."""
        return 1

    def replay(self, visitor: Visitor) -> None:
        """When the pipe is free; bytes and busy time."""
        visitor.time(self.free_ps)
        self.read_bytes = visitor.count(self.read_bytes)
        self.write_bytes = visitor.count(self.write_bytes)
        self.busy = visitor.count(self.busy)

    def counters(self) -> dict[str, int]:
        """Byte counts; a fixed pipe has no rows and no refresh."""
        return {
            "read_bytes": self.read_bytes,
            "write_bytes": self.write_bytes,
            "row_hits": 0,
            "row_misses": 0,
            "row_conflicts": 0,
            "refreshes": 0,
        }

    def busy_ps(self) -> list[int]:
        """Time the pipe moved data."""
        return [self.busy]

    def refresh_free(self, duration_ps: int) -> int:
        """The whole duration: nothing is refreshed."""
        return duration_ps
