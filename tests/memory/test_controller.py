"""The HBM controller: latencies to the cycle, its policies one by one, and its commands against the rule book."""

from __future__ import annotations

import random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsim.errors import ConfigError
from archsim.memory.controller import Burst, Controller
from archsim.memory.timing import HBM2_2000, HBM3_6400, V80_HBM2, DramTiming
from tests.memory.command_model import Model


def finish(controller: Controller) -> None:
    while controller.busy:
        controller.step()


def names(controller: Controller) -> list[str]:
    assert controller.log is not None
    return [name for _, name, _, _ in controller.log]


def quiet(timing: DramTiming) -> Controller:
    return Controller(timing, 2, refreshing=False, log=[])


def served(controller: Controller, bank: int, row: int, at: int, write: bool = False) -> Burst:
    """One request at tick `at` of an otherwise idle controller, finished."""
    while controller.clock < at:
        controller.step(at)
    burst = Burst(bank, row, write)
    assert controller.offer(burst)
    finish(controller)
    return burst


@pytest.mark.parametrize(
    ("timing", "closed", "conflict", "hit"),
    [(HBM2_2000, 30_000, 44_000, 16_000), (HBM3_6400, 33_125, 49_375, 13_750)],
    ids=["HBM2", "HBM3"],
)
def test_isolated_reads_to_the_cycle(timing: DramTiming, closed: int, conflict: int, hit: int) -> None:
    # Counted from the end of the first command on its bus.
    controller = quiet(timing)
    ticks = controller.ticks
    first = served(controller, 0, 1, 0)
    assert names(controller) == ["ACT", "RD"]
    assert controller.log is not None
    act = controller.log[0][0] + controller.state.gaps.act_slot - 1
    assert first.done - act == ticks(closed)
    second = served(controller, 0, 1, 1000)
    assert second.done - controller.log[-1][0] == ticks(hit)
    third = served(controller, 0, 2, 2000)
    assert names(controller)[-3:] == ["PRE", "ACT", "RD"]
    assert third.done - controller.log[-3][0] == ticks(conflict)
    found = controller.counters
    assert (found.row_misses, found.row_hits, found.row_conflicts) == (1, 1, 1)


def test_an_older_request_goes_first_and_a_row_hit_before_it() -> None:
    controller = quiet(HBM2_2000)
    served(controller, 0, 1, 0)
    for row in (2, 1, 1):
        assert controller.offer(Burst(0, row, write=False))
    finish(controller)
    assert controller.log is not None
    rows = [row for _, name, _, row in controller.log if name == "RD"]
    assert rows == [1, 1, 1, 2]


def test_a_row_is_not_closed_while_an_older_request_hits_it() -> None:
    controller = quiet(HBM2_2000)
    served(controller, 0, 1, 0)
    assert controller.offer(Burst(0, 1, write=False))
    assert controller.offer(Burst(0, 2, write=False))
    finish(controller)
    assert names(controller)[2:] == ["RD", "PRE", "ACT", "RD"]


def test_writes_wait_for_the_high_mark_and_drain_to_the_low_one() -> None:
    controller = quiet(HBM2_2000)
    rng = random.Random(1)
    served(controller, 0, 0, 0)

    def read() -> None:
        while controller.offer(Burst(rng.randrange(32), 0, write=False)):
            pass

    # An idle controller drains; the first step that finds reads and no writes ends that.
    read()
    controller.step()
    for _ in range(40):
        controller.offer(Burst(rng.randrange(32), 0, write=True))
    for _ in range(200):
        read()
        controller.step()
    assert "WR" not in names(controller)
    while controller.writes.size <= 51:
        assert controller.offer(Burst(rng.randrange(32), 0, write=True))
    sizes = []
    for _ in range(300):
        read()
        controller.step()
        sizes.append(controller.writes.size)
    # 0.2 of 64 entries: drained while there are 12.8 or more, then reads again.
    assert min(sizes) == sizes[-1] == 12


def test_writes_go_while_no_read_waits() -> None:
    controller = quiet(HBM2_2000)
    burst = served(controller, 3, 5, 0, write=True)
    assert names(controller) == ["ACT", "WR"]
    assert burst.done == controller.last_data


def test_a_full_buffer_refuses() -> None:
    controller = quiet(HBM2_2000)
    assert all(controller.offer(Burst(0, row, write=False)) for row in range(64))
    assert not controller.offer(Burst(0, 64, write=False))
    assert controller.offer(Burst(0, 64, write=True))


def test_nothing_to_wait_for() -> None:
    with pytest.raises(ConfigError, match="memory controller: 'no request"):
        quiet(HBM2_2000).step()


def test_refresh_closes_all_banks_of_one_pseudo_channel_after_the_other() -> None:
    controller = Controller(HBM2_2000, 2, log=[])
    served(controller, 0, 1, 0)
    served(controller, 16, 1, 100)
    while controller.clock < 4000:
        controller.step(4000)
    assert controller.log is not None
    found = [(name, where) for _, name, where, _ in controller.log[4:]]
    assert found == [("PREA", 0), ("REF", 0), ("PREA", 1), ("REF", 1)]
    begin = HBM2_2000.refi
    times = [tick for tick, *_ in controller.log[4:]]
    assert times == [begin, begin + 14, begin + 15, begin + 29]
    late = served(controller, 16, 1, 4001)
    # The activate ends tRFC after the refresh that pseudo-channel 1 was given last; then tRCD, tCL and the burst.
    assert late.done == begin + 29 + HBM2_2000.rfc + 30
    assert controller.counters.refreshes == 2


timings = st.sampled_from([HBM2_2000, HBM3_6400, V80_HBM2, attrs.evolve(HBM2_2000, refi=900)])


@settings(max_examples=40, deadline=None)
@given(timings, st.integers(0, 2**32), st.integers(1, 3), st.sampled_from([0, 40, 100]), st.integers(50, 300))
def test_every_command_keeps_the_rules(timing: DramTiming, seed: int, rows: int, read_pct: int, count: int) -> None:
    controller = Controller(timing, 2, log=[])
    rng = random.Random(seed)
    bursts = []
    while len(bursts) < count:
        burst = Burst(rng.randrange(2 * timing.banks), rng.randrange(rows), rng.randrange(100) >= read_pct)
        while not controller.offer(burst):
            controller.step()
        bursts.append(burst)
        if not rng.randrange(8):
            controller.step(controller.clock + rng.randrange(1, 400))
    finish(controller)
    assert controller.log is not None
    assert not list(Model(timing, 2).violations(controller.log))
    columns = [name for name in names(controller) if name in ("RD", "WR")]
    assert (columns.count("RD"), columns.count("WR")) == (
        sum(not b.write for b in bursts),
        sum(b.write for b in bursts),
    )
    counters = controller.counters
    assert counters.row_hits + counters.row_misses + counters.row_conflicts == count


@pytest.mark.parametrize("timing", [HBM2_2000, HBM3_6400], ids=["HBM2", "HBM3"])
def test_the_rule_book_sees_a_command_that_comes_a_tick_early(timing: DramTiming) -> None:
    controller = Controller(attrs.evolve(timing, refi=900), 2, log=[])
    rng = random.Random(5)
    for _ in range(500):
        burst = Burst(rng.randrange(timing.banks), rng.randrange(3), rng.random() < 0.4)
        while not controller.offer(burst):
            controller.step()
    finish(controller)
    model = Model(timing, 2)
    log = controller.log
    assert log is not None
    assert not list(model.violations(log))
    step = 1 if timing is HBM2_2000 else 2
    caught: dict[str, int] = {}
    for index in range(1, len(log)):
        tick, name, where, row = log[index]
        moved = [*log[:index], (tick - step, name, where, row), *log[index + 1 :]]
        if next(model.too_early(sorted(moved)[max(0, index - 60) : index + 20]), None):
            caught[name] = caught.get(name, 0) + 1
    assert set(caught) == {"ACT", "PRE", "PREA", "RD", "REF", "WR"}
