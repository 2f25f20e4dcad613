"""The closed form of channel runs against the page-by-page reference."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsim.memory.addressmap import AddressMap
from archsim.memory.hbm import HbmMemory, HbmParams
from archsim.memory.pagelevel import Page, RowBus, pages_of
from archsim.units import Bytes

CAPACITY = 1 << 26


def build(timing: str, refresh: str, mode: str) -> HbmMemory:
    return HbmMemory(
        HbmParams(channels=1, pseudo_channels=2, timing=timing, capacity=Bytes(CAPACITY), refresh=refresh, mode=mode)
    )


def test_pages_of_a_run() -> None:
    map_ = AddressMap(channels=1, capacity=CAPACITY)
    assert list(pages_of(map_, 32, 4096 - 128, 128 + 160)) == [Page(3, 0, 4), Page(4, 0, 4), Page(5, 0, 1)]


def test_row_bus_fills_gaps() -> None:
    bus = RowBus()
    assert [bus.reserve(0, 10), bus.reserve(20, 10), bus.reserve(5, 10), bus.reserve(5, 10)] == [0, 20, 10, 30]
    bus.forget(30)
    assert bus.reserve(0, 5) == 0


request = st.tuples(
    st.integers(0, CAPACITY // 128 - 4096).map(lambda chunk: chunk * 128),
    st.integers(8192 // 128, 4096).map(lambda chunks: chunks * 128),
    st.sampled_from([0, 0, 100_000, 700_000, 3_000_000]),
    st.sampled_from([False, False, True]),
)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["HBM2-2000", "HBM3-6400", "V80-HBM2"]),
    st.sampled_from(["off", "all-bank"]),
    st.lists(request, min_size=1, max_size=12),
)
def test_runs_agree_with_pages(timing: str, refresh: str, requests: list[tuple[int, int, int, bool]]) -> None:
    run, page = build(timing, refresh, "run"), build(timing, refresh, "page")
    at = last_run = last_page = total = 0
    for address, nbytes, gap, write in requests:
        at += gap
        total += nbytes
        fast, exact = run.access(at, [(address, nbytes)], write), page.access(at, [(address, nbytes)], write)
        assert sum(s.nbytes * len(s.channels) for s in fast) == nbytes
        last_run = max(last_run, *(s.last_ps for s in fast))
        last_page = max(last_page, *(s.last_ps for s in exact))
    assert last_run == pytest.approx(last_page, rel=0.02)
    assert run.busy_ps() == page.busy_ps()
    for last in (last_run, last_page):
        assert last * run.peak_bytes_per_s >= total * 10**12


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["HBM2-2000", "HBM3-6400", "V80-HBM2"]),
    st.sampled_from([("off", 1 << 14), ("off", 1 << 16), ("all-bank", 1 << 16)]),
    st.lists(st.tuples(st.integers(0, CAPACITY // 128 - 1024), st.booleans()), min_size=12, max_size=16),
)
def test_queued_mixes_agree_with_pages(timing: str, kind: tuple[str, int], requests: list[tuple[int, bool]]) -> None:
    """Runs of 16 KiB (with refresh: 64 KiB) per channel; docs/fidelity.md states what shorter ones give."""
    refresh, run_bytes = kind
    run, page = build(timing, refresh, "run"), build(timing, refresh, "page")
    last = {}
    for mem in (run, page):
        last[mem.params.mode] = max(
            share.last_ps for chunk, write in requests for share in mem.access(0, [(chunk * 128, 2 * run_bytes)], write)
        )
    assert last["run"] == pytest.approx(last["page"], rel=0.02)
    assert last["run"] * run.peak_bytes_per_s >= len(requests) * 2 * run_bytes * 10**12


def test_rows_are_counted_alike_on_a_stream() -> None:
    run, page = build("HBM2-2000", "off", "run"), build("HBM2-2000", "off", "page")
    for mem in (run, page):
        for index in range(20):
            mem.access(0, [(index * 37 * 256, 37 * 256)], write=False)
    assert run.counters() == page.counters()
