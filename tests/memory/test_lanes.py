"""Channels advance together, part where requests part them, and come together again."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from archsim.kernel.snapshot import Recorder
from archsim.kernel.transfer import Share
from archsim.memory.hbm import HbmMemory, HbmParams
from archsim.memory.lanes import LaneSet
from archsim.units import Bytes

STRIPE = 128 * 16


def wide(refresh: str = "off") -> HbmMemory:
    return HbmMemory(
        HbmParams(channels=8, pseudo_channels=2, timing="V80-HBM2", capacity=Bytes(1 << 26), refresh=refresh)
    )


def lane_set(mem: HbmMemory) -> LaneSet:
    assert isinstance(mem.engine, LaneSet)
    return mem.engine


def lanes(mem: HbmMemory) -> int:
    return len(lane_set(mem).lanes)


def test_striped_request_is_one_share() -> None:
    mem = wide()
    (share,) = mem.access(0, [(0, 34 * STRIPE), (1 << 25, 2 * STRIPE)], write=False)
    assert share.channels == tuple(range(16))
    assert share.nbytes == 36 * 128
    assert lanes(mem) == 1


def test_shares_without_booking() -> None:
    mem = wide()
    assert mem.shares([(0, STRIPE), (0, 130)]) == [((0,), 256), ((1,), 130), (tuple(range(2, 16)), 128)]
    assert mem.busy_ps() == [0] * 16


def test_split_and_merge() -> None:
    mem = wide()
    mem.access(0, [(stripe * STRIPE, 3 * 128) for stripe in range(4)], write=False)
    assert lanes(mem) == 2
    # Three channels must close four rows first (tRP); after this, the open rows of all are equal again.
    early, late = mem.access(10**6, [(1 << 20, 128 * STRIPE)], write=False)
    assert (early.channels, late.channels) == ((0, 1, 2), tuple(range(3, 16)))
    assert early.first_ps - late.first_ps == 12 * 1250
    (share,) = mem.access(10**8, [(1 << 20, 128 * STRIPE)], write=False)
    assert share.channels == tuple(range(16))
    assert lanes(mem) == 1
    busy = mem.busy_ps()
    assert busy[2] - busy[3] == 4 * 4 * 2 * 1250
    assert len(set(busy[:3])) == len(set(busy[3:])) == 1


def snapshot(mem: HbmMemory, now: int) -> Recorder:
    recorder = Recorder(now)
    mem.replay(recorder)
    return recorder


def test_lanes_that_idle_alike_are_described_as_one() -> None:
    """Half of the channels carry 128 B more; once all are idle nothing to come depends on which."""
    mem, whole = wide(), wide()
    for each, nbytes in ((mem, 36 * STRIPE + 8 * 128), (whole, 36 * STRIPE)):
        each.access(0, [(0, nbytes)], write=False)
    busy = max(lane.bus_free for lane in lane_set(mem).lanes)
    assert snapshot(mem, busy - 1).key[0] == 2
    later = busy + 10**6
    assert snapshot(mem, later).key == snapshot(whole, later).key
    assert mem.busy_ps()[:8] == [
        each + mem.timing.burst_cycles * mem.timing.tck_ps * 128 // mem.timing.burst_bytes
        for each in whole.busy_ps()[:8]
    ]
    assert mem.busy_ps()[8:] == whole.busy_ps()[8:]


def test_halves_of_a_physical_channel_stay_apart() -> None:
    mem = wide()
    mem.access(0, [(0, 36 * STRIPE + 3 * 128)], write=False)
    assert snapshot(mem, 10**9).key[0] == 2


def test_equal_times_come_back_as_one_share() -> None:
    mem = wide()
    # Starts at channel 5: two groups with different local addresses, the same bytes and times.
    shares = mem.access(0, [(5 * 128, 8 * STRIPE)], write=False)
    assert shares == [Share(tuple(range(16)), 8 * 128, shares[0].first_ps, shares[0].last_ps)]


def test_siblings_share_the_row_bus() -> None:
    alone, both = wide(), wide()
    for mem, other in ((alone, 2), (both, 1)):
        for index in range(40):
            row = index * (1 << 16) + index // 4 % 4 * STRIPE
            mem.access(0, [(row, 32)], write=False)
            mem.access(0, [(row + other * 128, 32)], write=False)
    last = [mem.access(0, [(1 << 25, 32)], write=False)[0].last_ps for mem in (alone, both)]
    assert last[1] > last[0]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 1 << 18), st.integers(1, 20_000), st.sampled_from([0, 50_000, 10**6]), st.booleans()),
        min_size=1,
        max_size=15,
    )
)
def test_lanes_always_partition_the_channels(requests: list[tuple[int, int, int, bool]]) -> None:
    mem, at, moved = wide("all-bank"), 0, 0
    for address, nbytes, gap, write in requests:
        at += gap
        shares = mem.access(at, [(address, nbytes)], write)
        assert sum(len(s.channels) * s.nbytes for s in shares) >= 0
        moved += nbytes
        assert isinstance(mem.engine, LaneSet)
        members = sorted(c for lane in mem.engine.lanes for c in lane.channels)
        assert members == list(range(16))
        for share in shares:
            assert at < share.first_ps < share.last_ps
    counters = mem.counters()
    assert counters["read_bytes"] + counters["write_bytes"] == moved
    assert sum(mem.busy_ps()) * mem.timing.peak_bytes_per_s >= moved * 10**12


def test_same_requests_same_times() -> None:
    def times() -> list[list[Share]]:
        mem = wide("all-bank")
        return [mem.access(i * 40_000, [(i * 7777, 3333 + i)], i % 4 == 3) for i in range(200)]

    assert times() == times()
