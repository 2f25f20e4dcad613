"""Replay skips iterations exactly: the same JSON as simulating each of them."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archsim import Program, assemble
from archsim.components.params import CoreParams, DispatchParams, DmaParams
from archsim.elaborate import Machine, ReplaySettings, build
from archsim.isa.program import Header
from archsim.machine import MachineParams, MemoryParams, load_machine
from archsim.report.jsonout import dumps
from archsim.run import collect
from archsim.units import Bytes
from workloads.forwards import parse_window
from workloads.lowering.generation import lower
from workloads.lowering.plan.machine_view import view_of
from workloads.models import load_model
from workloads.schedules import build_schedule

# Short queues are full after a few iterations, and from then on iterations repeat.
SHALLOW = DispatchParams(tensor_queue=2, vector_queue=2, scalar_queue=2, kv_queue=2, dma_queue=2, net_queue=2)
EAGER = ReplaySettings(worth=0, body=0, minimum=0)


def run(program: Program, params: MachineParams, replay: ReplaySettings | None) -> tuple[str, Machine]:
    machine = build(program, params, replay=replay)
    machine.sim.run()
    return dumps(collect(machine)), machine


def small(channels: int = 2, timing: str = "HBM2-2000", engines: int = 2, in_flight: int = 2) -> MachineParams:
    return MachineParams(
        name="small",
        core=CoreParams(mlen=64, vlen=64, blen=8, hlen=16),
        dispatch=SHALLOW,
        dma=DmaParams(engines=engines, in_flight=in_flight),
        memory=MemoryParams(
            channels=channels, pseudo_channels=1, timing=timing, refresh="off", capacity=Bytes(64 * 2**20)
        ),
    )


def program(text: str) -> Program:
    return Program(instructions=tuple(assemble(text)))


LAYERS = """
S_LUI_INT gp9, {stride_high}
S_ADDI_INT gp8, gp0, 4096
C_SET_V_ROWS gp1, gp2, gp2
C_LOOP_START gp7, {trips}
H_PREFETCH_V gp8, gp5, a1, 0, 2
V_EXP_V gp8, gp8
V_RED_SUM f1, gp8
S_ST_FP f1, gp0, 3
H_STORE_V gp8, gp6, a2, 0, 2
S_ADD_INT gp5, gp5, gp9
C_LOOP_END gp7
"""


def layers(trips: int, stride_high: int = 32) -> Program:
    setup = "S_ADDI_INT gp1, gp0, 3\nS_ADDI_INT gp2, gp0, 1\nS_LUI_INT gp3, 8192\nC_SET_ADDR_REG a2, gp0, gp3\n"
    return program(setup + LAYERS.format(trips=trips, stride_high=stride_high))


def test_a_strided_loop_is_skipped_and_gives_the_same_result() -> None:
    # 32 << 12 BF16 elements are 256 KiB: more than the bank period of two channels of 16 KiB each.
    whole, _ = run(layers(60), small(), None)
    skipped, machine = run(layers(60), small(), EAGER)
    assert skipped == whole
    assert machine.replayer is not None
    assert sum(share.replayed for share in machine.replayer.shares.values()) >= 40


def test_all_that_is_left_is_skipped_and_every_iteration_counted_once() -> None:
    _, machine = run(layers(60), small(), EAGER)
    assert machine.replayer is not None
    (share,) = machine.replayer.shares.values()
    assert share.iterations == 60
    assert machine.replayer.replayed_instructions == 7 * share.replayed
    assert 40 <= share.replayed < 60
    assert machine.cores[0].front.code[-1].count == 60


def test_a_repetition_seen_before_is_known_earlier() -> None:
    """The inner loop of three activations; each starts in the same state, after all is done."""

    def activations(count: int) -> Program:
        body = "V_EXP_V gp8, gp8\nV_RED_SUM f1, gp8\nS_ST_FP f1, gp0, 3\n"
        inner = f"C_LOOP_START gp6, 30\n{body}C_LOOP_END gp6\nC_WAIT_IDLE\n"
        return program(f"C_LOOP_START gp7, {count}\n{inner}C_LOOP_END gp7\n")

    def replayed(count: int) -> int:
        whole, _ = run(activations(count), small(), None)
        skipped, machine = run(activations(count), small(), EAGER)
        assert skipped == whole
        assert machine.replayer is not None
        return next(share.replayed for share in machine.replayer.shares.values() if share.level == 2)

    once = replayed(1)
    assert once > 10
    assert replayed(2) > 2 * once


def test_a_stride_that_changes_the_bank_is_not_skipped() -> None:
    # 1 << 12 BF16 elements are 8 KiB, a sixteenth of eight channels' bank period; up to 8 iterations are taken as one.
    whole, _ = run(layers(60, stride_high=1), small(channels=8), None)
    skipped, machine = run(layers(60, stride_high=1), small(channels=8), EAGER)
    assert skipped == whole
    assert machine.replayer is not None
    assert sum(share.replayed for share in machine.replayer.shares.values()) == 0


def test_two_streams_that_meet_are_simulated_until_they_have() -> None:
    """A moving read runs into a fixed write: the hazard must come at the iteration where it does."""
    text = """
    S_ADDI_INT gp1, gp0, 64
    S_ADDI_INT gp3, gp0, 6400
    C_LOOP_START gp7, 120
    V_EXP_V gp3, gp0
    V_EXP_V gp4, gp2
    S_MAP_V_FP gp5, gp0, 0, gp1
    S_ADD_INT gp2, gp2, gp1
    C_LOOP_END gp7
    """
    whole, _ = run(program(text), small(), None)
    assert run(program(text), small(), EAGER)[0] == whole


def test_a_table_word_that_changes_stops_the_skip() -> None:
    """The trip count of an inner loop comes from a table: 5, 5, ..., 5, 9, 5, ..."""
    table = [5] * 80
    table[60] = 9
    text = """
    C_LOOP_START gp7, 80
    S_LD_INT gp2, gp1, 0
    C_LOOP_START_R gp3, gp2
    V_EXP_V gp8, gp0
    C_LOOP_END gp3
    S_ADDI_INT gp1, gp1, 1
    C_LOOP_END gp7
    """
    made = Program(instructions=tuple(assemble(text)), header=Header(int_mem=(tuple(table),)))
    plain = Program(instructions=made.instructions, header=Header(int_mem=((5,) * 80,)))
    whole, _ = run(made, small(), None)
    skipped, machine = run(made, small(), EAGER)
    assert skipped == whole != run(plain, small(), None)[0]
    assert machine.replayer is not None
    outer = next(share for share in machine.replayer.shares.values() if share.level == 1)
    assert outer.iterations == 80
    assert 0 < outer.replayed < 80


def test_a_loop_and_its_unrolled_form_count_the_same_work() -> None:
    body = "V_EXP_V gp8, gp8\nV_RED_SUM f1, gp8\nS_MUL_FP f2, f1, f1\n"
    looped = program(f"S_ADDI_INT gp8, gp0, 64\nC_LOOP_START gp7, 50\n{body}C_LOOP_END gp7\n")
    unrolled = program("S_ADDI_INT gp8, gp0, 64\n" + body * 50)
    _, a = run(looped, small(), EAGER)
    _, b = run(unrolled, small(), EAGER)
    first, second = collect(a).opcodes, collect(b).opcodes
    assert {k: v for k, v in first.items() if not k.startswith("C_LOOP")} == second


@st.composite
def nests(draw: st.DrawFn) -> str:
    """Two nested loops with random trips, strides and bodies, with hazards across iterations."""
    line = st.sampled_from(
        [
            "V_EXP_V gp8, gp9",
            "V_ADD_VV gp9, gp8, gp8",
            "V_RED_SUM f1, gp9",
            "V_MUL_VF gp8, gp8, f1",
            "S_ST_FP f1, gp0, 3",
            "S_LD_FP f2, gp0, 3",
            "H_PREFETCH_V gp8, gp5, a1, 0, 2",
            "H_STORE_V gp9, gp6, a2, 0, 2",
            "H_PREFETCH_M gp0, gp5, a1, 0, 0",
            "M_MM gp0, gp8",
            "M_MM_WO gp10, gp0, 0",
            "S_ST_INT gp5, gp0, 7",
            "S_LD_INT gp4, gp0, 7",
            "S_ADD_INT gp5, gp5, gp12",
            "S_ADD_INT gp6, gp6, gp13",
        ]
    )
    outer = "\n".join(draw(st.lists(line, min_size=1, max_size=5)))
    inner = "\n".join(draw(st.lists(line, min_size=1, max_size=4)))
    trips, turns = draw(st.integers(1, 14)), draw(st.integers(1, 10))
    stride, step = draw(st.sampled_from([0, 32, 64, 1])), draw(st.sampled_from([0, 32, 8]))
    return f"""
    S_ADDI_INT gp8, gp0, 128
    S_ADDI_INT gp9, gp0, 256
    S_ADDI_INT gp10, gp0, 1024
    S_LUI_INT gp12, {stride}
    S_LUI_INT gp13, {step}
    S_LUI_INT gp3, 2048
    C_SET_SCALE_REG gp3
    S_LUI_INT gp3, 4096
    C_SET_ADDR_REG a2, gp0, gp3
    C_LOOP_START gp7, {trips}
    {outer}
    C_LOOP_START gp2, {turns}
    {inner}
    C_LOOP_END gp2
    C_LOOP_END gp7
    """


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    nests(),
    st.sampled_from([1, 2, 4]),
    st.integers(1, 3),
    st.integers(1, 4),
    st.sampled_from(["HBM2-2000", "HBM3-6400"]),
)
def test_random_loop_nests_are_the_same_with_and_without(
    text: str, channels: int, engines: int, in_flight: int, timing: str
) -> None:
    params = small(channels, timing, engines, in_flight)
    made = program(text)
    assert run(made, params, EAGER)[0] == run(made, params, None)[0]


KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "dual": ("llada-8b", "llada", {"cache": "dual", "prompt": 32, "gen": 64, "block": 32, "steps": 16}),
    "prefix": ("llada-8b", "llada", {"cache": "prefix", "prompt": 32, "gen": 32, "block": 32, "steps": 8}),
    "none": ("llada-8b", "llada", {"cache": "none", "prompt": 32, "gen": 64, "block": 16, "steps": 16}),
    "batch": ("llada-8b", "llada", {"cache": "dual", "prompt": 32, "gen": 32, "block": 32, "steps": 8, "batch": 3}),
    "autoregressive": ("llama-3-8b", "autoregressive", {"prompt": 32, "gen": 12}),
}


@pytest.mark.parametrize(
    ("preset", "kind"),
    [("dart-1024", "prefix"), ("quad-mesh", "batch"), ("edge-256", "autoregressive")]
    + [("dart-2048", kind) for kind in KINDS],
)
def test_a_small_generation_is_the_same_with_and_without(preset: str, kind: str) -> None:
    params = load_machine(preset)
    params = attrs.evolve(params, memory=attrs.evolve(params.memory, refresh="off"))
    name, schedule, options = KINDS[kind]
    model = load_model(name)
    model = model.shrunk(
        layers=12, vocab=8192, hidden=1024, heads=8, kv_heads=8 * model.kv_heads // model.heads, ffn=4096
    )
    made = lower(model, build_schedule(schedule, **options), view_of(params))
    whole, _ = run(made, params, None)
    skipped, machine = run(made, params, ReplaySettings(body=50, minimum=200))
    assert skipped == whole
    assert machine.replayer is not None
    assert machine.replayer.replayed_ps > 0


@pytest.mark.parametrize(("cache", "window"), [("dual", "0:1"), ("dual", "1:3"), ("prefix", "1:3"), ("none", "0:2")])
def test_refresh_spread_over_the_data_takes_as_long_as_in_windows(cache: str, window: str) -> None:
    """Three layers of every kind of step at full size: within 0.1 %, whatever is skipped."""
    params = load_machine("dart-2048")
    schedule = build_schedule("llada", cache=cache, prompt=128, gen=256, block=32, steps=256)
    made = lower(load_model("llada-8b").shrunk(layers=3), schedule, view_of(params), window=parse_window(window))
    windows, spread = (collect_run(made, params, settings) for settings in (None, ReplaySettings()))
    assert abs(spread - windows) * 1000 <= windows


def test_blocks_that_are_nearly_alike_are_skipped() -> None:
    """A whole generation of eight blocks, whose K/V rows lie in other banks each time: within 0.1 %, and said."""
    params = load_machine("dart-2048")
    schedule = build_schedule("llada", cache="dual", prompt=128, gen=128, block=16, steps=24)
    made = lower(load_model("llada-8b").shrunk(layers=3, vocab=8192), schedule, view_of(params))
    settings = ReplaySettings(forgiven=10_000)
    machine = build(made, params, replay=settings)
    machine.sim.run()
    spread = collect(machine)
    assert spread.loops[0].nearly > 0
    windows = collect_run(made, params, None)
    assert abs(spread.time_ps - windows) * 1000 <= windows
    off = attrs.evolve(params, memory=attrs.evolve(params.memory, refresh="off"))
    exact = build(made, off, replay=settings)
    exact.sim.run()
    assert all(loop.nearly == 0 for loop in collect(exact).loops)


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["dart-2048", "quad-mesh"])
@pytest.mark.parametrize("cache", ["none", "prefix", "dual"])
def test_whole_generations_take_as_long_with_refresh_in_windows(preset: str, cache: str) -> None:
    params = load_machine(preset)
    schedule = build_schedule("llada", cache=cache, prompt=128, gen=192, block=32, steps=24)
    made = lower(load_model("llada-8b").shrunk(layers=3), schedule, view_of(params))
    windows, spread = (collect_run(made, params, settings) for settings in (None, ReplaySettings(forgiven=3000)))
    assert abs(spread - windows) * 1000 <= windows


def collect_run(made: Program, params: MachineParams, settings: ReplaySettings | None) -> int:
    machine = build(made, params, replay=settings)
    machine.sim.run()
    return collect(machine).time_ps


def test_a_short_run_is_simulated_as_it_is() -> None:
    params = attrs.evolve(small(), memory=attrs.evolve(small().memory, refresh="all-bank"))
    windows, _ = run(layers(60), params, None)
    short, machine = run(layers(60), params, attrs.evolve(EAGER, worth=1000))
    spread, replaying = run(layers(60), params, EAGER)
    assert machine.replayer is None
    assert replaying.replayer is not None
    assert short == windows
    assert spread != windows
