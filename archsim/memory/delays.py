"""A timing set turned into the picosecond delays that the channel models compute with."""

from __future__ import annotations

import attrs

from archsim.memory.timing import DramTiming

QUANTUM_PS = 1000
"""Bus turns, and refresh where it is spread over data, are charged in whole nanoseconds: core clocks of 1 GHz stay in
step with them, so that equal work takes equal time."""


@attrs.frozen(kw_only=True)
class Delays:
    """Derived delays in ps; "open" is from activate to first data, "column" from command to first data.

    `read_release` and `write_release` lead from the end of a page's data to its earliest precharge (the
    read one is negative: data trail their command). `activate_gap` is the mean distance of activates
    that tRRD and tFAW allow, `read_to_write` and `write_to_read` are bus gaps between data.
    """

    burst: int
    read_column: int
    write_column: int
    read_open: int
    write_open: int
    precharge: int
    row_active: int
    read_release: int
    write_release: int
    activate_gap: int
    same_group_gap: int
    row_bus_miss: int
    row_bus_conflict: int
    read_to_write: int
    write_to_read: int
    write_batch: int


def whole(time_ps: int) -> int:
    """`time_ps`, rounded up to whole QUANTUM_PS."""
    return -(-time_ps // QUANTUM_PS) * QUANTUM_PS


def make_delays(timing: DramTiming, pseudo_channels: int) -> Delays:
    """Delays of one pseudo-channel among `pseudo_channels` that share a row bus and request buffers."""
    t, tck = timing, timing.tck_ps
    gap = t.rtw + t.cwl - t.cl - t.burst_cycles
    return Delays(
        burst=t.burst_cycles * tck,
        read_column=t.cl * tck,
        write_column=t.cwl * tck,
        read_open=(t.rcd_rd + t.cl) * tck,
        write_open=(t.rcd_wr + t.cwl) * tck,
        precharge=t.rp * tck,
        row_active=t.ras * tck,
        read_release=(t.rtp - t.cl - t.burst_cycles) * tck,
        write_release=t.wr * tck,
        activate_gap=max(t.rrd_s * tck, -(-t.faw * tck // 4)),
        same_group_gap=t.ccd_l * tck,
        row_bus_miss=t.row_bus_ps(conflict=False),
        row_bus_conflict=t.row_bus_ps(conflict=True),
        read_to_write=whole(max(gap, 0) * tck),
        write_to_read=whole((t.wtr_l + t.cl) * tck),
        write_batch=t.write_batch(pseudo_channels),
    )
