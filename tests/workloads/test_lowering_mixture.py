"""Programs of mixtures of experts, checked by walking them; drawn and recorded choices of experts."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import attrs
import pytest

from archsim.errors import WorkloadError
from archsim.isa.formats import FORMATS
from archsim.isa.program import Program
from tests.workloads.small_view import SMALL
from tests.workloads.streams import ranges, tensor_cycles
from tests.workloads.walk import walk
from workloads.experts import Experts
from workloads.lowering.generation import lower
from workloads.lowering.options import LoweringOptions
from workloads.lowering.plan.machine_view import MachineView
from workloads.lowering.plan.recording import read_recording
from workloads.models import load_model
from workloads.schedules import build_schedule

VIEW = attrs.evolve(SMALL, int_words=16384)
MODEL = load_model("llada2-mini").shrunk(
    layers=4, hidden=256, heads=8, kv_heads=2, head_dim=32, ffn=512, vocab=1000, experts=32, expert_ffn=64
)
EXPERTS = 32
LAYERS = range(1, 4)


def program(view: MachineView = VIEW, routing: str | None = None, seed: int = 0, **given: Any) -> Program:
    options = {"prompt": 16, "gen": 16, "block": 8, "steps": 8, "cache": "dual", **given}
    schedule = build_schedule("llada", **options)
    return lower(MODEL, schedule, view, LoweringOptions(routing=routing, routing_seed=seed))


def fetched(made: Program) -> Counter[tuple[int, int]]:
    """How often each (layer, tile of a routed expert) is fetched, tiles counted by their first element."""
    low, high = ranges(made)["experts"]
    out: Counter[tuple[int, int]] = Counter()
    for step in walk(made):
        if step.mnemonic == "H_PREFETCH_M" and low <= step.operands["rs2"] < high:
            count, elements = step.state["m_fetch"]
            for index in range(count):
                out[step.operands["rs2"], step.operands["rs1"] + index * elements] += 1
    return out


def written(path: Path, forwards: int, rows: list[list[int]], layers: range = LAYERS) -> str:
    lines = [{"forward": f, "layer": layer, "experts": rows} for f in range(forwards) for layer in layers]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return str(path)


def test_each_touched_expert_is_fetched_once_and_no_other(tmp_path: Path) -> None:
    """8 rows of a block that choose experts 3 to 7 and 20, in every layer of every forward."""
    rows = [[3, 4, 5, 6, 7, 20]] + [[20, 7, 6, 5, 4, 3]] * 7
    model = attrs.evolve(MODEL, experts=attrs.evolve(MODEL.experts, top_k=6))
    schedule = build_schedule("llada", prompt=0, gen=8, block=8, steps=4, cache="none")
    path = written(tmp_path / "r.jsonl", 4, rows)
    made = lower(model, schedule, VIEW, LoweringOptions(routing=path))
    tiles = fetched(made)
    assert set(tiles.values()) == {4}
    own = model.expert_weights
    assert {element // own for _, element in tiles} == {3, 4, 5, 6, 7, 20}
    assert len(tiles) == 3 * 6 * (4 + 4 + 16)  # layers x experts x tiles of gate, up and down
    assert made.header.schedule["routing"]["mean_distinct"] == 6


def test_rows_are_gathered_and_scattered_once_for_each_expert_they_choose(tmp_path: Path) -> None:
    """The copies of a row and the additions of its outputs, counted by what the vector unit does to single rows."""
    made = program(cache="none")
    rows = sum(forward["q_rows"] for forward in made.header.forwards)
    names = [phase.operator for phase in made.header.phases]
    single = Counter(
        step.mnemonic
        for step in walk(made)
        if step.phase >= 0 and names[step.phase] == "experts" and step.state["v_rows"][0] == 1
    )
    routed = rows * MODEL.experts.top_k * len(LAYERS)
    assert single["V_ADD_VV"] >= routed
    assert single["V_MUL_VV"] >= routed
    heads = made.header.schedule["routing"]
    assert heads["passes"] == len(made.header.forwards) * len(LAYERS)


def test_drawn_choices_touch_as_many_experts_as_the_formula_says() -> None:
    made = program(gen=64, steps=64, view=attrs.evolve(VIEW, int_words=1 << 18))
    found = made.header.schedule["routing"]
    assert found["lists"] == found["passes"] == 64 * 3
    assert found["mean_distinct"] == pytest.approx(found["expected_distinct"], rel=0.02)
    experts = MODEL.experts
    each = [experts.expected_distinct(forward["q_rows"]) for forward in made.header.forwards]
    assert found["expected_distinct"] == pytest.approx(sum(each) / len(each), abs=0.01)


def test_a_seed_gives_the_same_choices_and_another_one_others() -> None:
    assert program().header.int_mem == program().header.int_mem
    assert program().header.int_mem != program(seed=1).header.int_mem


def test_passes_share_lists_where_int_mem_is_short() -> None:
    wide, narrow = program(), program(view=attrs.evolve(VIEW, int_words=1200))
    assert wide.header.schedule["routing"]["lists"] == 24
    assert 2 <= narrow.header.schedule["routing"]["lists"] < 24
    assert narrow.instructions != ()
    assert len(narrow.header.int_mem[0]) <= 1200
    with pytest.raises(WorkloadError, match=r"24 passes through experts take \d+ words of INT_MEM; expected at most"):
        program(view=attrs.evolve(VIEW, int_words=420))


def test_an_expert_of_more_rows_than_a_tile_takes_them_in_turns(tmp_path: Path) -> None:
    """40 rows that all choose the same experts are three row tiles of 16; weights come once for each."""
    top = MODEL.experts.top_k
    path = written(tmp_path / "r.jsonl", 1, [list(range(top))] * 40)
    schedule = build_schedule("llada", prompt=32, gen=8, block=8, steps=1, cache="none")
    made = lower(MODEL, schedule, VIEW, LoweringOptions(routing=path))
    assert set(fetched(made).values()) == {3}
    ideal = made.header.ideal["total"]["tensor_cycles"]
    assert ideal <= tensor_cycles(made) <= 1.1 * ideal


def test_bytes_of_experts_are_in_the_ideal() -> None:
    made, dense = program(), lower(
        attrs.evolve(MODEL, experts=None), build_schedule("llada", prompt=16, gen=16, block=8, steps=8, cache="dual"),
        VIEW,
    )  # fmt: skip
    fmt = FORMATS["mxint4"]
    touched = made.header.schedule["routing"]["mean_distinct"] * 24
    routed = fmt.total_bytes(round(touched) * MODEL.expert_weights)
    layers = fmt.total_bytes(8 * 3 * (MODEL.expert_layer_weights - MODEL.layer_weights))
    found = made.header.ideal["total"]["hbm_bytes"] - dense.header.ideal["total"]["hbm_bytes"]
    assert found == pytest.approx(routed + layers, rel=0.01)


def test_no_routed_expert_is_fetched_before_the_router_has_chosen() -> None:
    """Between the router's matrix and the first fetch of an expert an integer of the vector unit is read."""
    made = program(cache="none")
    names = [phase.operator for phase in made.header.phases]
    low, high = ranges(made)["experts"]
    waiting, waits = False, 0
    for step in walk(made):
        if step.mnemonic == "C_PHASE":
            waiting = waiting or names[step.operands["imm"]] == "router"
        elif step.mnemonic == "V_RED_MAX_IDX" and waiting:
            waiting, waits = False, waits + 1
        elif step.mnemonic == "H_PREFETCH_M":
            assert not (waiting and low <= step.operands["rs2"] < high)
    assert waits == 3 * len(made.header.forwards)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1: not JSON"),
        ("[]", "line 1: []; expected an object with forward, layer and experts"),
        ('{"forward": -1, "layer": 1, "experts": [[0, 1]]}', "line 1: forward is -1; expected a non-negative integer"),
        ('{"forward": 0, "layer": 1, "experts": [[0]]}', "line 1: experts are not lists of experts; expected for"),
        ('{"forward": 0, "layer": 1, "experts": [[0, 0]]}', "expected for every row 2 different numbers below 4"),
        ('{"forward": 0, "layer": 1, "experts": [[0, 4]]}', "expected for every row 2 different numbers below 4"),
        ('{"forward": 0, "layer": 1, "experts": [[0, 1]]}\n' * 2, "line 2: forward 0, layer 1 again; expected it once"),
    ],
)
def test_broken_recordings_are_refused(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(line, encoding="utf-8")
    with pytest.raises(WorkloadError) as caught:
        read_recording(str(path), Experts(count=4, top_k=2, ffn=8))
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


def test_recordings_that_do_not_fit_the_forwards_are_refused(tmp_path: Path) -> None:
    rows = [list(range(MODEL.experts.top_k))]
    path = written(tmp_path / "r.jsonl", 8, rows * 32)
    with pytest.raises(WorkloadError, match="forward 1, layer 1: experts of 32 rows; expected 8"):
        program(routing=path)
    with pytest.raises(WorkloadError, match="forward 8, layer 1: missing; expected the experts of 32 rows"):
        program(routing=path, cache="none", steps=16)
    with pytest.raises(WorkloadError, match="No such file"):
        program(routing=str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (attrs.evolve(VIEW, cores=2), "a mixture of experts on 2 cores; expected 1 core"),
        (attrs.evolve(VIEW, mlen=16, vlen=16, blen=8, hlen=16), "head_dim 32; expected at most"),
        (attrs.evolve(VIEW, matrix_cells=14_000), "experts: room for"),
    ],
)
def test_machines_that_cannot_take_a_mixture_are_refused(view: MachineView, message: str) -> None:
    with pytest.raises(WorkloadError, match=message):
        program(view=view)


def test_a_recording_for_a_model_without_experts_is_refused() -> None:
    schedule = build_schedule("llada", prompt=8, gen=8, block=8, steps=1)
    with pytest.raises(WorkloadError, match="option routing: model plain has no experts"):
        lower(attrs.evolve(MODEL, name="plain", experts=None), schedule, VIEW, LoweringOptions(routing="x"))


def test_layers_of_experts_run_all_or_none() -> None:
    schedule = build_schedule("model-scheduling", prompt=16, gen=16)
    with pytest.raises(WorkloadError, match="expected all layers of a model with experts"):
        lower(MODEL, schedule, VIEW)
