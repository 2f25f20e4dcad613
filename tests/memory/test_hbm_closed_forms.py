"""Run-level DRAM: latencies, streams and row behaviour that can be derived by hand, exactly."""

from __future__ import annotations

import pytest

from archsim.errors import ConfigError, MemoryFault
from archsim.kernel.transfer import Share
from archsim.memory.hbm import HbmMemory, HbmParams
from archsim.units import Bytes

GIB = 1 << 30


def memory(timing: str = "HBM2-2000", refresh: str = "off", pcs: int = 1, mode: str = "run") -> HbmMemory:
    return HbmMemory(
        HbmParams(channels=1, pseudo_channels=pcs, timing=timing, capacity=Bytes(GIB), refresh=refresh, mode=mode)
    )


def read(mem: HbmMemory, at: int, address: int, nbytes: int = 32) -> Share:
    (share,) = mem.access(at, [(address, nbytes)], write=False)
    return share


ROW = 16 << 10
"""Local bytes between rows of the same bank (HBM2)."""


@pytest.mark.parametrize("mode", ["run", "page"])
@pytest.mark.parametrize(
    ("timing", "closed", "conflict", "hit"),
    [("HBM2-2000", 30_000, 44_000, 16_000), ("HBM3-6400", 33_125, 49_375, 13_750)],
)
def test_isolated_reads(mode: str, timing: str, closed: int, conflict: int, hit: int) -> None:
    mem = memory(timing, mode=mode)
    assert read(mem, 0, 0).last_ps == closed == mem.latency_ps
    assert read(mem, 1_000_000, 32).last_ps == 1_000_000 + hit
    assert read(mem, 2_000_000, 2 * ROW).last_ps == 2_000_000 + conflict
    counters = mem.counters()
    assert (counters["row_misses"], counters["row_hits"], counters["row_conflicts"]) == (1, 1, 1)


def test_conflict_waits_for_the_row_to_be_active_long_enough() -> None:
    early, late = memory(), memory()
    read(early, 0, 0)
    read(late, 0, 0)
    # tRAS 34: precharge no earlier than 34 ns, then RP + RCD + CL + burst = 44 ns.
    assert read(early, 33_000, ROW).last_ps == 78_000
    assert read(late, 35_000, ROW).last_ps == 79_000


def test_stream_is_latency_plus_bytes_over_peak() -> None:
    mem = memory()
    share = read(mem, 0, 0, 1 << 20)
    assert (share.first_ps, share.last_ps) == (28_000, 28_000 + (1 << 20) // 32 * 2000)
    assert mem.counters()["row_misses"] == 16
    assert mem.counters()["row_conflicts"] == 1024 - 16


def test_back_to_back_runs_leave_no_gap() -> None:
    mem = memory()
    first = read(mem, 0, 0, 4096)
    second = read(mem, 0, 4096, 4096)
    assert second.first_ps == first.last_ps
    assert second.last_ps == 28_000 + 2 * 256_000
    assert mem.busy_ps() == [512_000]


def test_same_bank_row_change_is_exposed() -> None:
    mem = memory()
    first = read(mem, 0, 0, 4096)
    second = read(mem, 0, ROW, 4096)
    # The last row set's first page was released 3 pages before the end, so nothing of it is exposed.
    assert second.first_ps == first.last_ps
    single = memory()
    first = read(single, 0, 0, 128)
    second = read(single, 0, ROW, 128)
    # Bank kept open until ACT + tRAS (34 ns); then RP + RCD + CL.
    assert second.first_ps == 34_000 + 42_000


def test_bursts_of_one_bank_group_keep_ccd_l() -> None:
    assert read(memory(), 0, 0, 128).last_ps == 28_000 + 3 * 4000 + 2000
    assert read(memory(), 0, 0, 512).last_ps == 28_000 + 16 * 2000


def test_turnarounds_at_an_idle_bus() -> None:
    mem = memory()
    (write,) = mem.access(0, [(0, 4096)], write=True)
    assert write.first_ps == (12 + 5) * 1000
    after = read(mem, write.last_ps, 4096 * 4)
    assert after.first_ps >= write.last_ps + (8 + 14) * 1000
    hit = memory()
    (write,) = hit.access(0, [(0, 4096)], write=True)
    assert read(hit, write.last_ps, 32).first_ps == write.last_ps + 22_000
    far = write.last_ps + 10**6
    assert read(hit, far, 64).first_ps == far + 14_000


def test_refresh_interrupts_a_run_and_closes_rows() -> None:
    mem = memory(refresh="all-bank")
    usable = 3_900_000 - 383_000
    nbytes = (usable - 28_000) // 2000 * 32
    fits = read(mem, 0, 0, nbytes)
    assert fits.last_ps <= usable
    longer = read(memory(refresh="all-bank"), 0, 0, nbytes + 64)
    assert longer.last_ps - fits.last_ps == 383_000 + 4000
    before = mem.counters()["row_misses"]
    assert read(mem, 5_000_000, 0).last_ps == 5_030_000
    assert mem.counters()["row_misses"] == before + 1
    assert mem.counters()["refreshes"] == 1


def test_offset_moves_the_refresh_phase() -> None:
    mem = memory(refresh="all-bank")
    mem.elapsed_offset_ps = 3_890_000 - 28_000
    assert read(mem, 0, 0).first_ps == 3_900_000 - mem.elapsed_offset_ps


@pytest.mark.parametrize("timing", ["HBM2-2000", "HBM3-6400", "V80-HBM2", "LPDDR5-6400"])
@pytest.mark.parametrize("refresh", ["off", "all-bank", "per-bank"])
def test_nothing_beats_peak_less_refresh(timing: str, refresh: str) -> None:
    mem = memory(timing, refresh, pcs=2)
    total = last = 0
    for index in range(40):
        nbytes = (1 + index % 7) * 30_000
        shares = mem.access(0, [(index * 300_000, nbytes)], index % 3 == 2)
        total += nbytes
        last = max(last, *(share.last_ps for share in shares))
        assert mem.refresh_free(last) * mem.peak_bytes_per_s >= total * 10**12
    assert sum(mem.busy_ps()) * mem.timing.peak_bytes_per_s >= total * 10**12


def test_counters_and_faults() -> None:
    mem = memory(pcs=2)
    mem.access(0, [(0, 1024), (4096, 100)], write=False)
    mem.access(0, [(0, 70)], write=True)
    with pytest.raises(MemoryFault, match="capacity"):
        mem.access(0, [(0, 64), (GIB, 1)], write=False)
    assert (mem.counters()["read_bytes"], mem.counters()["write_bytes"]) == (1124, 70)
    assert mem.access(0, [], write=False) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [("timing", "x"), ("mode", "x"), ("refresh", "x"), ("channels", 0), ("pseudo_channels", 3), ("interleave", 16)],
)
def test_impossible_parameters(field: str, value: object) -> None:
    good: dict[str, object] = {"channels": 1, "pseudo_channels": 2, "timing": "HBM2-2000", "capacity": GIB}
    with pytest.raises(ConfigError, match=r"memory\."):
        HbmMemory(HbmParams(**(good | {field: value})))  # type: ignore[arg-type]


def test_reference_machine_rates() -> None:
    for timing, channels in (("V80-HBM2", 32), ("HBM3-6400", 16)):
        mem = HbmMemory(HbmParams(channels=channels, pseudo_channels=2, timing=timing, capacity=Bytes(32 * GIB)))
        assert mem.peak_bytes_per_s == 819_200_000_000
        assert mem.channel_count == channels * 2
