"""DRAM timing sets: JEDEC-style parameters in clock cycles, with the organisation they belong to.

A "channel" of this package is one pseudo-channel, with a data bus of its own. What the pseudo-channels
of one physical channel share is the row-command bus: an activate holds it for `act_bus_half_ck`, a
precharge for `pre_bus_half_ck` half cycles (HBM2: 2 CK and 1 CK; HBM3: 1.5 CK and 0.5 CK).
"""

from __future__ import annotations

import attrs

from archsim.errors import ConfigError
from archsim.validate import BadValue, at_least, power_of_two

_GEOMETRY = ("burst_bytes", "page_bytes", "bank_groups", "banks_per_group", "stack_ids")
_MAY_BE_0 = ("ccd_r", "ppd", "drain_low")


@attrs.frozen(kw_only=True)
class DramTiming:
    """One timing set; all times in cycles of `tck_ps`, all sizes per pseudo-channel.

    `burst_cycles` is the time one burst of `burst_bytes` holds the data bus, `rtw` the distance of a
    read command from a following write command. `read_buffer` and `write_buffer` are request entries of
    a physical channel; the controller starts to drain writes at `drain_high` and stops at `drain_low`
    per mille of the write buffer. HBM3 stack IDs are counted in `banks_per_group`: `stack_ids` of them, between
    which column commands keep `ccd_r`. `ppd` is the distance of precharges in a pseudo-channel (0: the bus alone).
    """

    name: str
    source: str
    tck_ps: int
    burst_bytes: int = 32
    page_bytes: int = 1024
    bank_groups: int = 4
    banks_per_group: int = 4
    burst_cycles: int = 2
    cl: int
    cwl: int
    rcd_rd: int
    rcd_wr: int
    rp: int
    ras: int
    rc: int
    wr: int
    rtp: int
    ccd_s: int
    ccd_l: int
    rrd_s: int
    rrd_l: int
    faw: int
    wtr_s: int
    wtr_l: int
    rtw: int
    refi: int
    rfc: int
    rfc_pb: int
    stack_ids: int = 1
    ccd_r: int = 0
    ppd: int = 0
    act_bus_half_ck: int = 4
    pre_bus_half_ck: int = 2
    read_buffer: int = 64
    write_buffer: int = 64
    drain_low: int = 200
    drain_high: int = 800

    def __attrs_post_init__(self) -> None:
        """Raise BadValue for counts and times that no DRAM has."""
        for field in attrs.fields(DramTiming):
            if field.name in _GEOMETRY:
                power_of_two(self, field, getattr(self, field.name))
            elif field.name not in ("name", "source"):
                at_least(0 if field.name in _MAY_BE_0 else 1)(self, field, getattr(self, field.name))
        if self.stack_ids > self.banks_per_group:
            raise BadValue("stack_ids", self.stack_ids, f"at most banks_per_group, {self.banks_per_group}")
        if self.refi <= self.rtp + self.rp + self.rfc + self.rcd_rd:
            raise BadValue("refi", self.refi, "more than rtp + rp + rfc + rcd_rd")
        if self.drain_low >= self.drain_high:
            raise BadValue("drain_low", self.drain_low, f"less than drain_high, {self.drain_high}")

    @property
    def banks(self) -> int:
        """Banks of a pseudo-channel."""
        return self.bank_groups * self.banks_per_group

    @property
    def peak_bytes_per_s(self) -> int:
        """Data-bus rate of one pseudo-channel, in whole bytes per second."""
        return self.burst_bytes * 10**12 // (self.burst_cycles * self.tck_ps)

    def row_bus_ps(self, conflict: bool) -> int:
        """Time one activate (with its precharge where a row was open) holds the row-command bus."""
        half_cycles = self.act_bus_half_ck + (self.pre_bus_half_ck if conflict else 0)
        return -(-half_cycles * self.tck_ps // 2)

    def write_batch(self, pseudo_channels: int) -> int:
        """Bursts that one pseudo-channel writes per drain of the write buffer (at least 1)."""
        drained = self.write_buffer * (self.drain_high - self.drain_low) // 1000
        return max(1, drained // pseudo_channels)


_ANALOGUE = ("cl", "cwl", "rcd_rd", "rcd_wr", "rp", "ras", "rc", "wr", "rtp", "rrd_s", "rrd_l", "faw", "wtr_s", "wtr_l")


def rescaled(base: DramTiming, *, name: str, tck_ps: int, source: str) -> DramTiming:
    """The same DRAM at another clock: analogue parameters keep their time and are rounded up to cycles.

    Clocked ones (burst, CCD, row-bus slots) keep their cycles. The refresh interval is a maximum, so it
    is rounded down; the read-to-write distance is rebuilt as CL + burst + 2 - CWL.
    """

    def cycles(value: int) -> int:
        return -(-value * base.tck_ps // tck_ps)

    changed = {field: cycles(getattr(base, field)) for field in (*_ANALOGUE, "rfc", "rfc_pb")}
    changed["refi"] = base.refi * base.tck_ps // tck_ps
    changed["rtw"] = changed["cl"] + base.burst_cycles + 2 - changed["cwl"]
    return attrs.evolve(base, name=name, source=source, tck_ps=tck_ps, **changed)


HBM2_2000 = DramTiming(
    name="HBM2-2000",
    source="Ramulator 2.1 (CMU-SAFARI/ramulator2, commit c5b1c3a), org HBM2_8Gb, timing HBM2_2000Mbps; "
    "rtw = CL + BL + 2 - CWL",
    tck_ps=1000, cl=14, cwl=5, rcd_rd=14, rcd_wr=12, rp=14, ras=34, rc=48, wr=16, rtp=5, ccd_s=2, ccd_l=4,
    rrd_s=4, rrd_l=4, faw=15, wtr_s=6, wtr_l=8, rtw=13, refi=3900, rfc=350, rfc_pb=160,
)  # fmt: skip

HBM3_6400 = DramTiming(
    name="HBM3-6400",
    source="Ramulator 2.1 (CMU-SAFARI/ramulator2, commit c5b1c3a), org HBM3_16Gb_8hi, timing HBM3_6400Mbps; "
    "two stack IDs folded into the bank index",
    tck_ps=625, banks_per_group=8, cl=20, cwl=10, rcd_rd=31, rcd_wr=15, rp=26, ras=45, rc=72, wr=33, rtp=9,
    ccd_s=2, ccd_l=4, rrd_s=4, rrd_l=5, faw=24, wtr_s=7, wtr_l=10, rtw=20, refi=6240, rfc=560, rfc_pb=320,
    stack_ids=2, ccd_r=3, ppd=2, act_bus_half_ck=3, pre_bus_half_ck=1, read_buffer=128,
)  # fmt: skip

V80_HBM2 = rescaled(
    HBM2_2000,
    name="V80-HBM2",
    tck_ps=1250,
    source="HBM2-2000 with its analogue parameters kept in ns and rounded up at tCK 1250 ps (12.8 GB/s per "
    "pseudo-channel): V80-like engineering choice, not checked against an oracle",
)

HBM2_2400 = rescaled(
    HBM2_2000,
    name="HBM2-2400",
    tck_ps=833,
    source="HBM2-2000 with its analogue parameters kept in ns and rounded up at 1200 MHz, the clock of ONNXim's "
    "HBM2 set-up",
)

LPDDR5_6400 = DramTiming(
    name="LPDDR5-6400",
    source="LPDDR5-6400 class x16 channel, 16 Gb, CK 800 MHz with WCK 4:1, bank-group mode: engineering choice "
    "after JESD209-5 speed bins, not checked against an oracle",
    tck_ps=1250, page_bytes=2048, cl=17, cwl=9, rcd_rd=15, rcd_wr=15, rp=15, ras=34, rc=49, wr=28, rtp=6,
    ccd_s=2, ccd_l=4, rrd_s=4, rrd_l=4, faw=16, wtr_s=5, wtr_l=10, rtw=14, refi=3120, rfc=224, rfc_pb=112,
    read_buffer=32, write_buffer=32,
)  # fmt: skip

TIMINGS: dict[str, DramTiming] = {t.name: t for t in (HBM2_2000, HBM2_2400, HBM3_6400, V80_HBM2, LPDDR5_6400)}
"""Every timing set by its name."""


def find_timing(name: str, path: str = "memory.timing") -> DramTiming:
    """The timing set of that name; raises ConfigError, which lists the names there are."""
    try:
        return TIMINGS[name]
    except KeyError:
        raise ConfigError(path, name, "one of " + ", ".join(TIMINGS)) from None
