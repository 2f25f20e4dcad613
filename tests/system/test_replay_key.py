"""What replay compares holds everything that a machine remembers: one test for each field of each component."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import cache
from typing import Any

import attrs
import pytest

from archsim.components.body import LoopBody
from archsim.components.operation import Operation
from archsim.elaborate import Machine, ReplaySettings, build
from archsim.kernel.port import Queue
from archsim.kernel.snapshot import ANYTHING, Recorder
from archsim.machine import load_machine
from workloads.lowering.generation import lower
from workloads.lowering.plan.machine_view import view_of
from workloads.models import load_model
from workloads.schedules import build_schedule

IN_A_LAYER_PS = 150_000_000
LATER_PS = 10**9

WIRING = {"path", "sim", "name"}
"""Set when the machine is built and never changed, in every component."""

UNIT = ("period_ps", "port_a", "port_b", "queue", "_blocked_since")
"""Wiring of a unit, and what only the deadlock report reads."""

LEFT_OUT: dict[str, set[str]] = {
    "HbmMemory": {"params", "timing", "map", "refresh", "_windows", "rows", "engine"},
    "RowCounters": {"refreshes"},
    "LaneSet": {"timer", "lanes"},
    # No refresh windows under replay; `mixable` and `turn_ps` are of the bus; `busy_ps` goes to the channels first.
    "Lane": {"epoch", "quiet_from", "quiet_to", "busy_ps"},
    "RowBuses": {"pseudo_channels", "_known"},
    "FrontEnd": {
        *("core", "cores", "geometry", "formats", "period_ps", "serial", "code", "fetch", "queues", "limits", "ledger"),
        *("gather_ids", "tensor_units", "vector_units", "prefetch_v_rows", "store_v_rows", "kv_pipeline", "barrier"),
        *("tile_weight", "tile_kv", "replayer", "boards", "phase", "bodies"),
        # What the log tells: words loaded, ranges touched, ranges that hold something.
        *("int_mem", "loaded", "log"),
        # For the deadlock report only.
        "_wait_since",
    },
    "PhaseLedger": {"core", "observers", "skipped_ps", "last"},
    "SpaceBoard": {"_prune_writers", "_prune_readers"},
    "Queue": {"depth"},
    "InstructionFetch": {"params", "base", "lines", "memory"},
    "SharedPort": {"rows_per_cycle"},
    "MemoryPort": {"core", "memory", "network", "period_ps", "_request_ps"},
    "TensorCore": {*UNIT},
    "VectorUnit": {*UNIT},
    "KvEngine": {*UNIT, "memory", "store_ps"},
    "DmaEngine": {*UNIT, "memory", "params"},
    # Its queue is empty here: what it waits for is looked at in the other units.
    "NetworkInterface": {*UNIT, "port", "fronts", "ready_ps", "cause", "wake_ps"},
    # Waiters are processes, which the kernel's queue and the components' own waits tell.
    # `effect` is for runs with values, which are never replayed; shares of ports follow from rows and cycles.
    "Operation": {"phase", "waiters", "effect", "share_a", "share_b"},
    "PhaseRun": {"ledger", "totals"},
    "PhaseTotals": set(),
}
"""Fields that are wiring, derived, or described by another test's component, by class."""


@cache
def machine() -> Machine:
    """A small generation in the middle of a layer, with every queue and buffer in use."""
    params = load_machine("dart-1024")
    params = attrs.evolve(params, memory=attrs.evolve(params.memory, refresh="off"))
    model = load_model("llada-8b").shrunk(layers=12, vocab=8192, hidden=1024, heads=8, kv_heads=8, ffn=4096)
    schedule = build_schedule("llada", cache="dual", prompt=32, gen=32, block=32, steps=8)
    made = build(lower(model, schedule, view_of(params)), params, replay=ReplaySettings(minimum=1 << 60))
    made.sim.environment.run(until=IN_A_LAYER_PS)
    snapshot(made)  # the first walk tidies up what is over
    return made


def snapshot(made: Machine, body: range = ANYTHING) -> tuple[list[Any], list[int], list[int]]:
    assert made.replayer is not None
    recorder = Recorder(made.sim.now, body)
    for part in made.replayer.parts:
        part(recorder)
    return recorder.key, recorder.affines, recorder.totals


def waiting(made: Machine) -> Operation:
    """An operation that has not started and depends on another one."""
    operations = [op for queue in made.cores[0].front.queues for op in queue.items]
    return next(op for op in operations if op.finish_ps < 0 and any(d.finish_ps < 0 for d in op.depends))


def unit(name: str) -> Callable[[Machine], Any]:
    return lambda made: next(u for u in made.cores[0].units if u.path == f"core0.{name}")


def busy_lane(made: Machine) -> Any:
    """A lane whose bus has a backlog, without which reads cannot mix with writes."""
    lane = made.memory.engine.lanes[0]  # type: ignore[union-attr]
    lane.bus_free = made.sim.now + LATER_PS
    return lane


PLACES: dict[str, Callable[[Machine], Any]] = {
    "HbmMemory": lambda m: m.memory,
    "RowCounters": lambda m: m.memory.rows,  # type: ignore[union-attr]
    "LaneSet": lambda m: m.memory.engine,  # type: ignore[union-attr]
    "Lane": busy_lane,
    "RowBuses": lambda m: m.memory.engine.timer.row_buses,  # type: ignore[union-attr]
    "FrontEnd": lambda m: m.cores[0].front,
    "PhaseLedger": lambda m: m.cores[0].front.ledger,
    "PhaseRun": lambda m: m.cores[0].front.phase,
    "PhaseTotals": lambda m: m.cores[0].front.phase.totals,
    "SpaceBoard": lambda m: m.cores[0].front.boards[0],
    "Queue": lambda m: next(q for q in m.cores[0].front.queues if q.items),
    "InstructionFetch": lambda m: m.cores[0].fetch,
    "SharedPort": lambda m: m.cores[0].port_a,
    "MemoryPort": lambda m: m.cores[0].memory,
    "TensorCore": unit("tensor"),
    "VectorUnit": unit("vector"),
    "KvEngine": unit("kv_engine"),
    "DmaEngine": unit("dma0"),
    "NetworkInterface": unit("net"),
    "Operation": waiting,
}


def fields(kind: str) -> list[str]:
    cls = type(PLACES[kind](machine()))
    names = [f.name for f in attrs.fields(cls)] if attrs.has(cls) else list(cls.__slots__)
    return [name for name in names if name not in WIRING and name not in LEFT_OUT[kind]]


def another(made: Machine) -> Operation:
    """An operation that is in flight, unlike any other."""
    return waiting(made)


CHANGES: dict[tuple[str, str], Callable[[Any, Machine], Any]] = {
    ("RowBuses", "own"): lambda old, m: [m.sim.now + LATER_PS, *old[1:]],
    ("Lane", "holes"): lambda old, m: [*old, (m.sim.now, m.sim.now + LATER_PS)],
    ("FrontEnd", "receipts"): lambda old, m: [*old, m.sim.now + LATER_PS],
    ("FrontEnd", "producers"): lambda old, m: [*old[:-1], another(m)],
    ("FrontEnd", "last"): lambda old, m: [another(m) if op is not another(m) else None for op in old],
    ("FrontEnd", "stored"): lambda old, m: {*old, max(old) + 1},
    ("PhaseLedger", "totals"): lambda old, m: old[1:],
    ("PhaseLedger", "_open"): lambda old, m: deque(list(old)[:-1]),
    ("SpaceBoard", "writers"): lambda old, m: [*old, (0, 64, another(m))],
    ("SpaceBoard", "readers"): lambda old, m: [*old, (0, 64, another(m))],
    ("Queue", "items"): lambda old, m: deque([*old, another(m)]),
    ("InstructionFetch", "requests"): lambda old, m: changed_queue(old),
    ("InstructionFetch", "ready"): lambda old, m: dict.fromkeys(old, m.sim.now + LATER_PS),
    ("InstructionFetch", "order"): lambda old, m: deque([*old, old[0]]),
    ("SharedPort", "users"): lambda old, m: [*old, (m.sim.now, m.sim.now + LATER_PS, 1)],
    ("DmaEngine", "flying"): lambda old, m: [*old, m.sim.now + LATER_PS],
    ("NetworkInterface", "travelling"): lambda old, m: [*old, (m.sim.now + LATER_PS, 0)],
    ("Operation", "depends"): lambda old, m: [],
    ("Operation", "decoded"): lambda old, m: next(d for d in m.cores[0].front.code if d is not old),
    ("Operation", "transfer"): lambda old, m: next(
        op.transfer for q in m.cores[0].front.queues for op in q.items if op.transfer is not old
    ),
    **{(kind, "_blocked_on"): lambda old, m: another(m) if old is None else None for kind in PLACES},
}


def changed_queue(old: Any) -> Any:
    queue: Queue[tuple[int, int]] = Queue(old.sim, old.depth)
    queue.items.extend([*old.items, (0, LATER_PS)])
    return queue


def change(kind: str, name: str, old: Any, made: Machine) -> Any:
    """Another value for a field."""
    if (kind, name) in CHANGES:
        return CHANGES[kind, name](old, made)
    match old:
        case bool():
            return not old
        case int():
            return max(old, made.sim.now) + LATER_PS
        case str():
            return old + " otherwise"
        case None:
            return made.sim.event()
        case tuple():
            return old[1:]
        case list():
            return [change(kind, name, old[0], made), *old[1:]]
        case dict():
            first = next(iter(old))
            return {**old, first: change(kind, name, old[first], made)}
        case _:
            return None


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in PLACES for name in fields(kind)])
def test_a_change_of_the_field_shows(kind: str, name: str) -> None:
    made = machine()
    owner = PLACES[kind](made)
    before, old = snapshot(made), getattr(owner, name)
    setattr(owner, name, change(kind, name, old, made))
    try:
        assert snapshot(made) != before
    finally:
        setattr(owner, name, old)
    assert snapshot(made) == before


@pytest.mark.parametrize("name", ["free_ps", "link_bytes", "link_busy_ps"])
def test_a_change_of_the_network_shows(name: str) -> None:
    made = machine()
    before, values = snapshot(made), getattr(made.network, name)
    values[3] += 2 * LATER_PS
    assert snapshot(made) != before
    values[3] -= 2 * LATER_PS
    assert snapshot(made) == before


def body_of_the_layers(made: Machine) -> range:
    """The instructions of the innermost replayed loop that core 0 is in."""
    front = made.cores[0].front
    ends = (each for each in front.code if each.heavy and each.jump - 1 <= front.pc <= each.index)
    end = min(ends, key=lambda each: each.index - each.jump)
    return range(end.jump - 1, end.index + 1)


def test_registers_that_the_body_does_not_name_do_not_show() -> None:
    made = machine()
    front, body = made.cores[0].front, body_of_the_layers(made)
    named = LoopBody.of(front.code, body).registers
    assert 0 < len(named) < len(front.registers)
    before, anywhere = snapshot(made, body), snapshot(made)
    for register, old in enumerate(front.registers):
        front.registers[register] = None if old is not None else 7
        assert (snapshot(made, body) != before) == (register in named)
        assert snapshot(made) != anywhere
        front.registers[register] = old
    assert snapshot(made, body) == before


def test_lines_that_the_body_does_not_come_by_do_not_show() -> None:
    made = machine()
    fetch, body = made.cores[0].fetch, body_of_the_layers(made)
    assert fetch is not None
    code = made.cores[0].front.code
    lines = range(code[body.start].line, min(code[body.stop - 1].line + 1 + fetch.params.ahead, fetch.lines))
    before, ready = snapshot(made, body), fetch.ready
    elsewhere = next(line for line in ready if line not in lines)
    fetch.ready = {**ready, elsewhere: made.sim.now + LATER_PS}
    assert snapshot(made, body) == before
    for line in (lines[0], lines[-1]):
        fetch.ready = {**ready, line: made.sim.now + LATER_PS}
        assert snapshot(made, body) != before
    fetch.ready = ready
    waits, fetch.requests.consumer = fetch.requests.consumer, None  # a line is being fetched
    assert snapshot(made, body) != before
    fetch.requests.consumer = waits
    assert snapshot(made, body) == before


def test_a_core_outside_the_body_shows_everything() -> None:
    made = machine()
    front = made.cores[0].front
    assert snapshot(made, range(front.pc + 1, front.pc + 9)) == snapshot(made)


def test_a_lane_s_data_time_shows() -> None:
    made = machine()
    before = snapshot(made)
    made.memory.engine.lanes[0].busy_ps += LATER_PS  # type: ignore[union-attr]
    assert snapshot(made) != before


def test_what_the_kernel_will_do_next_is_told_with_its_owners() -> None:
    pending = machine().sim.pending()
    assert len(pending) >= 3
    assert all(after >= 0 for after, _, _ in pending)
    assert len({owner for _, _, owner in pending}) >= 3
