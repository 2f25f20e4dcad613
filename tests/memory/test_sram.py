"""SRAM ports as servers of rows, and bounds."""

from __future__ import annotations

import pytest

from archsim.errors import ConfigError, MemoryFault
from archsim.memory.sram import Port, Sram, SramParams
from archsim.units import Bytes


def test_port_serves_in_order() -> None:
    port = Port(period_ps=1000, rows_per_cycle=2)
    assert port.reserve(500, 5) == 500
    assert port.free_ps == 3500
    assert port.reserve(3499, 1) == 3500
    assert port.reserve(4500, 1) == 4500
    assert (port.rows, port.conflicts_ps, port.busy_ps) == (7, 1, 5000)


def test_ports_are_independent() -> None:
    sram = Sram("vsram", SramParams(capacity=Bytes(1024), period_ps=1000, ports=2, rows_per_cycle=1))
    a, b = sram.ports
    assert (a.reserve(0, 4), b.reserve(0, 4)) == (0, 0)
    assert a.conflicts_ps == b.conflicts_ps == 0


def test_bounds_in_bytes_and_words() -> None:
    vector = Sram("vsram", SramParams(capacity=Bytes(1024), period_ps=1000))
    vector.check(0, 1024, "V_ADD_VV source")
    with pytest.raises(MemoryFault, match=r"vsram: V_ADD_VV source at 1000\.\.1025; .* capacity of 1024 B"):
        vector.check(1000, 1025, "V_ADD_VV source")
    words = Sram("int_mem", SramParams(capacity=Bytes(64), period_ps=1000, unit_bytes=4))
    words.check(15, 16, "S_LD_INT")
    with pytest.raises(MemoryFault, match="capacity of 16 words of 4 B"):
        words.check(16, 17, "S_LD_INT")
    for lo, hi in ((-1, 1), (5, 4)):
        with pytest.raises(MemoryFault):
            words.check(lo, hi, "S_LD_INT")


@pytest.mark.parametrize("field", ["capacity", "period_ps", "ports", "rows_per_cycle", "unit_bytes"])
def test_sizes_are_positive(field: str) -> None:
    with pytest.raises(ConfigError, match=rf"sram\.{field}"):
        SramParams(**({"capacity": Bytes(1024), "period_ps": 1000} | {field: 0}))  # type: ignore[arg-type]


def test_capacity_is_whole_units() -> None:
    with pytest.raises(ConfigError, match="a multiple of the unit of 4 B"):
        SramParams(capacity=Bytes(1022), period_ps=1000, unit_bytes=4)
