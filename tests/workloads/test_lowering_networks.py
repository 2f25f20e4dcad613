"""Programs that go through networks beside the model: each forward multiplies its own network's weights."""

from __future__ import annotations

import attrs
import pytest

from archsim.errors import WorkloadError
from tests.workloads.cases import case, with_first
from tests.workloads.small_view import MODEL, SMALL, shrunk
from tests.workloads.streams import ranges, tensor_cycles, used_regions
from tests.workloads.walk import walk
from workloads.forwards import Forward
from workloads.lowering.generation import lower

LAYERS = MODEL.layers
BIASED = shrunk(LAYERS, "dream-7b")
CASES = {
    # Few vectors where there are several sequences: they then go through the layers in groups.
    "model-scheduling": case(
        "model-scheduling", view=attrs.evolve(SMALL, vector_vectors=460),
        prompt=16, gen=16, block=16, steps=8, light_layers=2, batch=4,
    ),
    "joint-sampling": case("joint-sampling", prompt=16, gen=16, block=8),
    "guided-diffusion": case("guided-diffusion", BIASED, prompt=16, gen=16, block=8, mean=3.0, guider_layers=4),
    "context-init": case("context-init", prompt=16, gen=16, block=8, steps=8, filled=3, init_layers=2),
    "bastion": case("bastion", prompt=16, gen=16, block=8, nodes=12, draft_layers=2, mean=3.0),
}  # fmt: skip
every_case = pytest.mark.parametrize("name", CASES)


def weights(forward: Forward) -> str:
    return f"weights.{forward.network}" if forward.network else "weights"


@every_case
def test_each_forward_reads_its_own_weights_and_then_the_head(name: str) -> None:
    made = CASES[name].program
    restream = made.header.schedule["restream"]
    expected = [[weights(forward), "lm_head"] * restream[forward.kind] for forward in CASES[name].forwards]
    assert used_regions(made) == expected
    assert CASES[name].view is SMALL or restream["full"] > 1


@every_case
def test_every_network_has_a_cache_of_its_own(name: str) -> None:
    made = CASES[name].program
    for forward, steps in zip(CASES[name].forwards, CASES[name].steps, strict=True):
        low, high = ranges(made)[f"kv_cache.{forward.network}" if forward.network else "kv_cache"]
        stores = [step.operands for step in steps if step.mnemonic == "K_STORE"]
        assert stores
        for store in stores:
            assert low <= store["rs3"] + store["rs1"] // 2 < high
            assert 0 <= store["rs4"] < made.header.requires["kv_engine.slots"]


@every_case
def test_work_of_a_light_forward_is_that_of_its_layers(name: str) -> None:
    made = CASES[name].program
    ideal = made.header.ideal["total"]["tensor_cycles"]
    assert ideal <= tensor_cycles(made) <= 1.15 * ideal
    assert any(forward.layers for forward in CASES[name].forwards)


def test_notes_name_the_networks() -> None:
    (note,) = (note for note in CASES["bastion"].program.header.notes if note.startswith("network"))
    assert note.startswith("network drafter: 2 layers of the model's width")


def test_a_forward_may_run_the_models_first_layers_only() -> None:
    short, whole = (lower(MODEL, with_first(**change), SMALL) for change in ({"layers": 1}, {}))
    stores = [sum(step.mnemonic == "K_STORE" for step in walk(made)) for made in (short, whole)]
    assert stores[1] - stores[0] == 2 * (LAYERS - 1)
    assert used_regions(short) == used_regions(whole) == [["weights", "lm_head"]] * 4


def test_a_network_of_no_stated_depth_is_as_deep_as_the_model() -> None:
    made = lower(MODEL, with_first(network="helper"), SMALL)
    assert any(f"network helper: {LAYERS} layers" in note for note in made.header.notes)


def test_more_layers_than_the_model_has_are_refused() -> None:
    with pytest.raises(WorkloadError, match="forward of 4 layers; expected at most the 3 of the model"):
        lower(MODEL, with_first(layers=LAYERS + 1), SMALL)
