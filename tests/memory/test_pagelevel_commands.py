"""Page-level mode and channel runs against the controller, command by command, on streams of long requests.

The controller is offered the bursts in order, as soon as they arrive and are taken; its commands are checked
against the rule book. Requests are 8 KiB or more: 4 KiB or more in each of the two pseudo-channels. All of a
stream are reads, or all writes: how long transfers in both directions share a channel is a matter of who arbitrates
before the controller, which the page level answers by a rule of its own (docs/fidelity.md).
"""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsim.memory.addressmap import AddressMap
from archsim.memory.controller import Burst, Controller
from archsim.memory.hbm import HbmMemory, HbmParams
from archsim.memory.refresh import make_refresh
from archsim.memory.timing import DramTiming, find_timing
from archsim.units import Bytes
from tests.memory.command_model import Model

CAPACITY = 1 << 26
START_CYCLES = 14
"""Of the start of a request: the controller's first cycle, an activate's length, four bank groups one by one, and
what the controller's order of commands saves or loses on the rows that the last request left open."""
STACK_CYCLES = 8
"""Of a request that crosses from one stack to another (HBM3), which the page level does not know."""

Request = tuple[int, int, int]
"""(arrival ps, byte address, bytes)"""


def memory(timing: str, refresh: str, mode: str) -> HbmMemory:
    return HbmMemory(
        HbmParams(channels=1, pseudo_channels=2, timing=timing, capacity=Bytes(CAPACITY), refresh=refresh, mode=mode)
    )


def booked(memory: HbmMemory, requests: list[Request], write: bool) -> int:
    """When the last data of all requests have moved, in ps."""
    return max(s.last_ps for at, address, size in requests for s in memory.access(at, [(address, size)], write))


def commanded(timing: DramTiming, map_: AddressMap, refresh: bool, requests: list[Request], write: bool) -> Controller:
    """The controller, after the same requests."""
    controller = Controller(timing, 2, refreshing=refresh, log=[])
    per_stack = timing.banks_per_group // timing.stack_ids
    waiting: deque[Burst] = deque()
    to_come = deque(requests)
    while to_come or waiting or controller.busy:
        while to_come and controller.ticks(to_come[0][0]) <= controller.clock:
            _, address, size = to_come.popleft()
            for byte in range(address, address + size, timing.burst_bytes):
                place = map_.locate(byte)
                stack, bank = divmod(place.bank, per_stack)
                group = (place.channel * timing.stack_ids + stack) * timing.bank_groups + place.bank_group
                waiting.append(Burst(group * per_stack + bank, place.row, write))
        while waiting and controller.offer(waiting[0]):
            waiting.popleft()
        controller.step(controller.ticks(to_come[0][0]) if to_come else 1 << 50)
    return controller


def bound(timing: DramTiming, map_: AddressMap, requests: list[Request], write: bool) -> int:
    """No order of commands ends earlier: each pseudo-channel's data, one after the other, from their arrival on."""
    ends = [0, 0]
    column = (timing.cwl if write else timing.cl) * timing.tck_ps
    for at, address, size in requests:
        for group in map_.split([(address, size)]):
            bursts = sum(nbytes for _, nbytes in group.runs) // timing.burst_bytes
            for channel in group.channels:
                ends[channel] = max(ends[channel], at + column) + bursts * timing.burst_cycles * timing.tck_ps
    return max(ends)


chunks = st.integers(8192 // 128, 32768 // 128).map(lambda count: count * 128)
requests_of = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 0, 100_000, 700_000, 3_000_000]),
        st.integers(0, (CAPACITY - 32768) // 128).map(lambda chunk: chunk * 128),
        chunks,
    ),
    min_size=1,
    max_size=5,
)


def arrived(gaps: list[Request]) -> list[Request]:
    at = 0
    found = []
    for gap, address, size in gaps:
        at += gap
        found.append((at, address, size))
    return found


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from(["HBM2-2000", "HBM3-6400", "V80-HBM2"]),
    st.sampled_from(["off", "off", "all-bank"]),
    requests_of,
    st.booleans(),
)
def test_pages_and_runs_agree_with_commands(name: str, refresh: str, gaps: list[Request], write: bool) -> None:
    timing, requests = find_timing(name), arrived(gaps)
    page, run = memory(name, refresh, "page"), memory(name, refresh, "run")
    controller = commanded(timing, page.map, refresh != "off", requests, write)
    assert controller.log is not None
    assert not list(Model(timing, 2).violations(controller.log))
    exact = controller.picoseconds(controller.last_data)
    lowest = bound(timing, page.map, requests, write)
    # Where the controller's windows of refresh begin at multiples of tREFI, those of the page level end.
    phase = make_refresh(timing, refresh).loss_ps
    start = (START_CYCLES + (STACK_CYCLES if timing.stack_ids > 1 else 0)) * timing.tck_ps
    assert exact >= lowest
    for mode in (page, run):
        last = booked(mode, requests, write)
        assert last >= lowest
        assert abs(last - exact) <= 0.02 * exact + start + phase


@pytest.mark.parametrize("name", ["HBM2-2000", "HBM3-6400"])
@pytest.mark.parametrize("write", [False, True], ids=["reads", "writes"])
@pytest.mark.parametrize("refresh", ["off", "all-bank"])
def test_a_long_stream_agrees_within_two_per_cent(name: str, write: bool, refresh: str) -> None:
    timing = find_timing(name)
    requests = [(0, (index * 7919 * 128) % (CAPACITY // 2), 8192) for index in range(64)]
    page = memory(name, refresh, "page")
    controller = commanded(timing, page.map, refresh != "off", requests, write)
    exact = controller.picoseconds(controller.last_data)
    for mode in (page, memory(name, refresh, "run")):
        assert booked(mode, requests, write) == pytest.approx(exact, rel=0.02)
