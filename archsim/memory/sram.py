"""On-chip SRAM: bounds, and ports as first-come servers of rows."""

from __future__ import annotations

import attrs

from archsim.errors import ConfigError, MemoryFault
from archsim.units import Bytes


@attrs.frozen(kw_only=True)
class SramParams:
    """Capacity in bytes; each of `ports` ports moves `rows_per_cycle` rows per clock of `period_ps`.

    `unit_bytes` is the addressable unit (1: byte-addressed SRAM; 2, 4: BF16 or INT32 words of a scalar
    memory).
    """

    capacity: Bytes
    period_ps: int
    ports: int = 2
    rows_per_cycle: int = 1
    unit_bytes: int = 1

    def __attrs_post_init__(self) -> None:
        """Raise ConfigError where a size is not positive or the capacity not whole in units."""
        for field in ("capacity", "period_ps", "ports", "rows_per_cycle", "unit_bytes"):
            if getattr(self, field) < 1:
                raise ConfigError(f"sram.{field}", getattr(self, field), "a positive integer")
        if self.capacity % self.unit_bytes:
            raise ConfigError("sram.capacity", self.capacity, f"a multiple of the unit of {self.unit_bytes} B")


@attrs.define(eq=False)
class Port:
    """A FIFO server; `conflicts_ps` is the time requests waited for it, `busy_ps` the time it moved rows."""

    period_ps: int
    rows_per_cycle: int
    free_ps: int = 0
    rows: int = 0
    busy_ps: int = 0
    conflicts_ps: int = 0

    def reserve(self, start_ps: int, rows: int) -> int:
        """Book `rows` rows no earlier than `start_ps`; returns when they start, in ps."""
        start = self.free_ps if self.free_ps > start_ps else start_ps
        held = -(-rows // self.rows_per_cycle) * self.period_ps
        self.conflicts_ps += start - start_ps
        self.rows += rows
        self.busy_ps += held
        self.free_ps = start + held
        return start


@attrs.define(eq=False)
class Sram:
    """One SRAM with its ports; used for Vector and Matrix SRAM and for the scalar memories."""

    name: str
    params: SramParams
    ports: tuple[Port, ...] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        """Make the ports, all free."""
        params = self.params
        self.ports = tuple(Port(params.period_ps, params.rows_per_cycle) for _ in range(params.ports))

    @property
    def size(self) -> int:
        """Capacity in addressable units."""
        return self.params.capacity // self.params.unit_bytes

    def check(self, lo: int, hi: int, what: str) -> None:
        """Raise MemoryFault unless lo <= hi and [lo, hi) is inside; `what` names who asked for what."""
        if lo < 0 or hi < lo or hi > self.size:
            unit = "B" if self.params.unit_bytes == 1 else f"words of {self.params.unit_bytes} B"
            raise MemoryFault(
                f"{self.name}: {what} at {lo}..{hi}; expected a range inside the capacity of {self.size} {unit}"
            )
