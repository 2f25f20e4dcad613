"""Programs that go through networks beside the model: each forward multiplies its own network's weights."""

from __future__ import annotations

from functools import cache

import attrs
import pytest

from archsim.errors import WorkloadError
from archsim.isa.program import Program
from tests.workloads.small_view import MODEL, SMALL, shrunk
from tests.workloads.streams import used_regions
from tests.workloads.walk import walk
from workloads.forwards import Forward, Schedule
from workloads.lowering.generation import lower
from workloads.schedules import build_schedule

LAYERS = MODEL.layers
BIASED = shrunk(LAYERS, "dream-7b")
CASES: dict[str, dict[str, float]] = {
    "model-scheduling": {"prompt": 16, "gen": 16, "block": 16, "steps": 8, "light_layers": 2, "batch": 4},
    "joint-sampling": {"prompt": 16, "gen": 16, "block": 8},
    "guided-diffusion": {"prompt": 16, "gen": 16, "block": 8, "mean": 3.0, "guider_layers": 4},
    "context-init": {"prompt": 16, "gen": 16, "block": 8, "steps": 8, "filled": 3, "init_layers": 2},
    "bastion": {"prompt": 16, "gen": 16, "block": 8, "nodes": 12, "draft_layers": 2, "mean": 3.0},
}
every_case = pytest.mark.parametrize("name", CASES)


def built(name: str) -> Schedule:
    return build_schedule(name, **CASES[name])


@cache
def program(name: str) -> Program:
    # Few vectors where there are several sequences: they then go through the layers in groups.
    view = attrs.evolve(SMALL, vector_vectors=460) if "batch" in CASES[name] else SMALL
    return lower(BIASED if name == "guided-diffusion" else MODEL, built(name), view)


def weights(forward: Forward) -> str:
    return f"weights.{forward.network}" if forward.network else "weights"


@every_case
def test_each_forward_reads_its_own_weights_and_then_the_head(name: str) -> None:
    made = program(name)
    restream = made.header.schedule["restream"]
    expected = [[weights(forward), "lm_head"] * restream[forward.kind] for forward in built(name).forwards()]
    assert used_regions(made) == expected
    assert "batch" not in CASES[name] or restream["full"] > 1


@every_case
def test_every_network_has_a_cache_of_its_own(name: str) -> None:
    made = program(name)
    ranges = {row["name"]: (row["base"], row["base"] + row["bytes"]) for row in made.header.regions}
    forwards, index = list(built(name).forwards()), -1
    for step in walk(made):
        if step.mnemonic == "C_PHASE" and made.header.phases[step.operands["imm"]].operator == "embed":
            index += 1
        if step.mnemonic == "K_STORE":
            network = forwards[index].network
            low, high = ranges[f"kv_cache.{network}" if network else "kv_cache"]
            assert low <= step.operands["rs3"] + step.operands["rs1"] // 2 < high
            assert 0 <= step.operands["rs4"] < made.header.requires["kv_engine.slots"]


@every_case
def test_work_of_a_light_forward_is_that_of_its_layers(name: str) -> None:
    made, forwards = program(name), list(built(name).forwards())
    tiles = sum(
        SMALL.blen * step.state["m_tiles"][0] for step in walk(made) if step.mnemonic in ("M_MM", "M_BMM", "M_BTMM")
    )
    ideal = made.header.ideal["total"]["tensor_cycles"]
    assert ideal <= tiles <= 1.15 * ideal
    assert {forward.layers for forward in forwards} - {0}


def test_notes_name_the_networks() -> None:
    (note,) = (note for note in program("bastion").header.notes if note.startswith("network"))
    assert note.startswith("network drafter: 2 layers of the model's width")


def with_first(**changes: object) -> object:
    """LLaDA with its first forward changed."""

    class Changed:
        name, unlowerable, evidence, commit_source = "changed", None, "code run", None

        def forwards(self):  # type: ignore[no-untyped-def]
            first, *others = build_schedule("llada", prompt=16, gen=16, steps=4).forwards()
            return iter([attrs.evolve(first, **changes), *others])

        def describe(self):  # type: ignore[no-untyped-def]
            return {}

    return Changed()


def test_a_forward_may_run_the_models_first_layers_only() -> None:
    short, whole = (lower(MODEL, with_first(**change), SMALL) for change in ({"layers": 1}, {}))  # type: ignore[arg-type]
    stores = [sum(step.mnemonic == "K_STORE" for step in walk(made)) for made in (short, whole)]
    assert stores[1] - stores[0] == 2 * (LAYERS - 1)
    assert used_regions(short) == used_regions(whole) == [["weights", "lm_head"]] * 4


def test_a_network_of_no_stated_depth_is_as_deep_as_the_model() -> None:
    made = lower(MODEL, with_first(network="helper"), SMALL)
    assert any(f"network helper: {LAYERS} layers" in note for note in made.header.notes)


def test_more_layers_than_the_model_has_are_refused() -> None:
    with pytest.raises(WorkloadError, match="forward of 4 layers; expected at most the 3 of the model"):
        lower(MODEL, with_first(layers=LAYERS + 1), SMALL)
