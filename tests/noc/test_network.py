"""Times in closed form: zero load, contention, first and last byte, counters, bounds.

Unless said, the clock period is 1000 ps, routers take 3 cycles and links 1.
"""

from __future__ import annotations

import os
import subprocess
import sys

import attrs
import pytest

from archsim.kernel.transfer import Share
from archsim.noc import CustomLink, CustomNode, LinkUse, Network, NocParams

PS = 1000
ALL = tuple(range(64))
QUAD = NocParams(topology="mesh", rows=4, cols=4, memory_placement="rim")
CHAIN = NocParams(
    topology="mesh",
    rows=1,
    cols=4,
    core_nodes=(0, 1, 3),
    memory_nodes=(2, 3),
    link_bytes_per_cycle=16,
    queued_percent=100,
)


def custom_chain() -> NocParams:
    nodes = tuple(CustomNode(name=n, role=r) for n, r in (("a", "core"), ("b", "router"), ("c", "memory")))
    links = (CustomLink(a="a", b="b", width=16, latency=5), CustomLink(a="b", b="c", width=64, latency=0))
    return NocParams(topology="custom", nodes=nodes, links=links)


def at_once(channels: tuple[int, ...], nbytes: int, at_ps: int = 0) -> Share:
    """A share whose channels have everything ready at one moment, so that links decide."""
    return Share(channels, nbytes, at_ps, at_ps)


@pytest.mark.parametrize(
    ("params", "routers", "narrowest"),
    [
        (NocParams(), 1, 32),
        (NocParams(topology="ring", cols=6, core_nodes=(0,), memory_nodes=(3,)), 4, 32),
        (NocParams(topology="mesh", rows=4, cols=4, core_nodes=(0,), memory_nodes=(15,)), 7, 32),
        (NocParams(topology="torus", rows=4, cols=4, core_nodes=(0,), memory_nodes=(15,)), 3, 32),
        (NocParams(topology="tree", cols=8, arity=2, core_nodes=(0,), memory_nodes=(7,)), 7, 32),
        (NocParams(topology="mesh", cols=2, core_nodes=(0,), memory_nodes=(1,), link_bytes_per_cycle=8), 2, 8),
    ],
)
@pytest.mark.parametrize("nbytes", [1, 32, 1000])
def test_zero_load_is_latency_plus_bytes_at_the_narrowest_link(
    params: NocParams, routers: int, narrowest: int, nbytes: int
) -> None:
    network = Network(params, 1, 1, PS)
    latency = 4 * routers + 1
    assert network.request_latency_ps(0) == network.response_latency_ps(0) == latency * PS
    cycles = latency + -(-nbytes // narrowest)
    assert network.deliver([at_once((0,), nbytes, 7)], 0) == (7 + cycles * PS, True)
    assert network.send_to_memory(50_007, [((0,), nbytes)], 0) == 50_007 + cycles * PS


@pytest.mark.parametrize("flits", [1, 4])
@pytest.mark.parametrize(("src", "dst"), [(0, 15), (5, 6), (3, 12), (9, 9)])
def test_zero_load_matches_the_flit_level_anchor(src: int, dst: int, flits: int) -> None:
    """BookSim2 at zero load: 4 H + 2 + (flits - 1) cycles for H routers on an XY mesh."""
    width = 16
    params = NocParams(topology="mesh", rows=4, cols=4, link_bytes_per_cycle=width, core_port_bytes_per_cycle=width)
    network = Network(params, 16, 1, PS)
    routers = abs(src % 4 - dst % 4) + abs(src // 4 - dst // 4) + 1
    assert network.put(src, dst, flits * width, 0)[1] == (4 * routers + 2 + flits - 1) * PS


def test_custom_latencies_and_widths_add_up() -> None:
    network = Network(custom_chain(), 1, 1, PS)
    latency = (1 + 3) + (5 + 3) + (0 + 3) + 1
    assert network.request_latency_ps(0) == latency * PS
    assert network.deliver([at_once((0,), 160)], 0) == ((latency + 10) * PS, True)


def test_a_slow_channel_decides_and_a_fast_one_does_not() -> None:
    """Latency 5 cycles, 64 B over 32 B/cycle: the links end at 7000 ps, so the turn is at last = 2000."""
    for last, expected in ((1999, (7000, True)), (2000, (7000, False)), (2001, (7001, False))):
        assert Network(NocParams(), 1, 1, PS).deliver([Share((0,), 64, 0, last)], 0) == expected


def test_the_core_port_serves_all_channels_together() -> None:
    """64 channels of 1024 B: 32 cycles at 32 B/cycle each, 64 cycles through the core's 1024 B/cycle."""
    network = Network(NocParams(), 1, 64, PS)
    assert network.deliver([at_once(ALL, 1024)], 0) == ((4 + 64 + 1) * PS, True)
    wide = Network(NocParams(core_port_bytes_per_cycle=2048), 1, 64, PS)
    assert wide.deliver([at_once(ALL, 1024)], 0) == ((4 + 32 + 1) * PS, True)


def test_a_shared_link_is_busy_until_t_and_free_at_t() -> None:
    """Channel 0's link is occupied for [0, 10) cycles; then nothing waits."""
    for at, finish in ((9_999, 10_000 + 6_000), (10_000, 10_000 + 6_000), (10_001, 10_001 + 6_000)):
        network = Network(NocParams(), 2, 2, PS)
        network.deliver([at_once((0,), 320)], 0)
        assert network.deliver([at_once((0,), 32, at)], 1) == (finish, True)


def test_transfers_on_one_link_take_the_sum_and_disjoint_ones_do_not() -> None:
    network = Network(NocParams(), 2, 2, PS)
    assert network.deliver([at_once((0,), 3200)], 0)[0] == 105_000
    assert network.deliver([at_once((0,), 3200)], 1)[0] == 205_000
    # The next call's channel is free, but core 1's port is booked in call order: [104, 108) cycles, then 4 more.
    assert network.deliver([at_once((1,), 3200)], 1)[0] == (108 + 4 + 1) * PS
    separate = Network(NocParams(), 2, 2, PS)
    assert [separate.deliver([at_once((core,), 3200)], core)[0] for core in (0, 1)] == [105_000, 105_000]


def test_directions_do_not_disturb_each_other() -> None:
    network = Network(NocParams(), 1, 1, PS)
    network.deliver([at_once((0,), 32_000)], 0)
    assert network.send_to_memory(0, [((0,), 32)], 0) == 6_000


def test_a_head_that_waits_arrives_late_at_the_next_link() -> None:
    """Core 0 holds r1-r2 for [4 + 4, 8 + 100) cycles; core 1's head waits there, and so do its links behind."""
    network = Network(CHAIN, 3, 1, PS)
    network.put(0, 2, 1600, 0)
    assert network.put(1, 2, 16, 0) == ((108 + 4 + 4 + 1) * PS, (108 + 4 + 4 + 1 + 1) * PS)


def test_a_link_between_routers_carries_less_while_transfers_queue() -> None:
    """160 B take 10 cycles of a free link, and 20 of one that carries half when queued for."""
    network = Network(attrs.evolve(CHAIN, queued_percent=50), 3, 1, PS)
    alone = network.put(0, 2, 160, 0)
    assert alone == (17_000, 27_000)
    assert network.put(0, 2, 160, 0)[1] == alone[1] + 20_000
    assert {use.busy_ps for use in network.links() if use.bytes and use.width == 16} == {20_000}


def test_one_core_alone_has_nobody_to_keep_from_passing() -> None:
    one = attrs.evolve(CHAIN, core_nodes=(0,), memory_nodes=(2,))
    finish = []
    for percent in (50, 100):
        network = Network(attrs.evolve(one, queued_percent=percent), 1, 1, PS)
        network.deliver([at_once((0,), 1600)], 0)
        finish.append(network.deliver([at_once((0,), 1600)], 0)[0])
    assert finish[0] == finish[1]


def test_what_a_core_sends_shares_a_link_with_reads_to_come() -> None:
    """Reads hold r2-r1 from cycle 8 for 1000 cycles; a put of 10 cycles takes 20 there and puts off the next read."""
    params = attrs.evolve(CHAIN, core_nodes=(0, 3), memory_nodes=(2,))
    network, without = Network(params, 2, 1, PS), Network(params, 2, 1, PS)
    for each in (network, without):
        each.deliver([at_once((0,), 16_000)], 0)
    assert network.put(1, 0, 160, 0) == (17_000, 37_000)
    second = [each.deliver([at_once((0,), 16_000)], 0)[0] for each in (network, without)]
    assert second[0] - second[1] == 10_000


def test_a_group_whose_links_differ_is_booked_link_by_link() -> None:
    network = Network(NocParams(core_port_bytes_per_cycle=4096), 1, 4, PS)
    network.deliver([at_once((1,), 320)], 0)
    assert network.deliver([at_once((0, 1, 2, 3), 640)], 0) == ((4 + 10 + 20 + 1) * PS, True)
    assert network.free_ps[:4] == [20_000, 30_000, 20_000, 20_000]


def test_writes_cross_the_core_port_then_fan_out() -> None:
    """1024 B for each of 64 channels: 64 cycles at the core port, 32 at each channel, cut through."""
    network = Network(NocParams(), 1, 64, PS)
    assert network.send_to_memory(0, [(ALL, 1024)], 0) == (64 + 5) * PS
    assert network.free_ps[64:128] == [(4 + 32) * PS] * 64


def test_put_gives_head_and_last_byte() -> None:
    network = Network(CHAIN, 3, 1, PS)
    assert network.put(0, 2, 160, 500) == (500 + 17_000, 500 + 17_000 + 10_000)
    assert network.put(0, 2, 160, 500) == (500 + 17_000 + 10_000 - 1_000 + 1_000, 500 + 17_000 + 20_000)
    assert network.bytes == 320


def test_bytes_are_conserved() -> None:
    network = Network(QUAD, 4, 64, PS)
    network.deliver([at_once(ALL[:48], 128), at_once(ALL[48:], 256)], 2)
    network.send_to_memory(0, [(ALL[::2], 384)], 1)
    network.put(0, 3, 1000, 0)
    uses = {(use.src, use.dst): use for use in network.links()}
    read, written = 48 * 128 + 16 * 256, 32 * 384
    assert network.bytes == read + written + 1000
    assert uses["noc.r9", "core2.port"].bytes == read
    assert uses["core1.port", "noc.r6"].bytes == written
    assert sum(use.bytes for use in uses.values() if use.src.startswith("hbm")) == read
    assert sum(use.bytes for use in uses.values() if use.dst.startswith("hbm")) == written
    for router in (node for node in network.graph if node.startswith("noc.")):
        arrived = sum(use.bytes for use in uses.values() if use.dst == router)
        assert arrived == sum(use.bytes for use in uses.values() if use.src == router)
    assert network.hop_bytes == sum(use.bytes for use in uses.values())


def test_links_count_bytes_and_busy_time() -> None:
    network = Network(NocParams(), 1, 2, PS)
    network.deliver([at_once((0,), 100), at_once((1,), 10)], 0)
    network.deliver([at_once((0,), 100)], 0)
    assert network.hottest(2) == (
        LinkUse("hbm.ch0", "noc.r0", 200, 8_000, 32),
        LinkUse("noc.r0", "core0.port", 210, 2_000, 1024),
    )
    assert network.hottest(3)[2] == LinkUse("hbm.ch1", "noc.r0", 10, 1_000, 32)
    assert network.links() == network.links()


def test_load_bound_is_the_fullest_link() -> None:
    network = Network(NocParams(), 2, 64, PS)
    assert network.load_bound_ps({0: [1024] * 64}, {}) == 64 * PS
    assert network.load_bound_ps({0: [512] * 64, 1: [512] * 64}, {}) == 32 * PS
    assert network.load_bound_ps({0: [0, 3201]}, {}) == 101 * PS
    assert network.load_bound_ps({}, {1: [1024] * 64}) == 64 * PS
    assert network.load_bound_ps({}, {}, {(0, 1): 1025}) == 2 * PS
    assert network.load_bound_ps({}, {}) == 0


def test_forgotten_plans_keep_their_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archsim.noc.network.MAX_PLANS", 3)
    small, large = Network(NocParams(), 1, 16, PS), Network(NocParams(), 1, 16, PS)
    monkeypatch.setattr("archsim.noc.network.MAX_PLANS", 4096)
    calls = [(step * 7 % 16, step * 40) for step in range(60)]
    expected = [large.deliver([at_once((channel,), 96, at)], 0) for channel, at in calls]
    monkeypatch.setattr("archsim.noc.network.MAX_PLANS", 3)
    assert [small.deliver([at_once((channel,), 96, at)], 0) for channel, at in calls] == expected
    assert small.links() == large.links()
    assert len(small._in_plans[0]) <= 3 < len(large._in_plans[0])


def test_forgotten_loads_keep_their_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = Network(NocParams(), 1, 16, PS), Network(NocParams(), 1, 16, PS)
    calls = [((0, 1), 32 + step * 7 % 200, step * 40) for step in range(60)]
    expected = [many.deliver([at_once(*call)], 0) for call in calls]
    monkeypatch.setattr("archsim.noc.network.MAX_LOADS", 2)
    assert [few.deliver([at_once(*call)], 0) for call in calls] == expected
    assert few.links() == many.links()
    assert all(len(plan.loads) <= 2 for plan in few._in_plans[0].values())


SCRIPT = """
from archsim.kernel.transfer import Share
from archsim.noc import Network, NocParams
network = Network(NocParams(topology="torus", rows=4, cols=4), 4, 64, 1000)
for step in range(20):
    share = Share(tuple(range(step, step + 40)), 100 + step, step * 500, step * 500 + 90)
    print(network.deliver([share], step % 4), network.send_to_memory(step * 500, [(share.channels, 64)], 3))
print(network.links())
"""


def test_runs_are_equal_whatever_the_hash_seed() -> None:
    outputs = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert "LinkUse" in outputs[0]
