"""Programs whose rows enter as mixtures of embeddings, checked by walking them: which rows, when, with what work."""

from __future__ import annotations

import attrs
import pytest

from archsim.errors import WorkloadError
from tests.workloads.cases import case, scripted
from tests.workloads.small_view import MODEL, SMALL
from tests.workloads.streams import ranges, tensor_cycles, used_regions
from tests.workloads.walk import Step
from workloads.forwards import Schedule
from workloads.lowering.generation import lower
from workloads.lowering.options import LoweringOptions

WALKED = {
    "all": case("iteration-smoothing", prompt=16, gen=32, block=16, mean=4.0),
    "implemented": case("iteration-smoothing", prompt=16, gen=32, block=16, mean=4.0, as_="implemented"),
    "one": case("dmax", prompt=16, gen=32, block=16, mean=4.0),
    "shared": case("dmax", prompt=16, gen=96, block=32, mean=1.5, top_k=2),
}
every_walk = pytest.mark.parametrize("name", WALKED)


def moves(name: str) -> list[list[Step]]:
    """Of every forward, its transfers from and to the mixtures."""
    base, _ = ranges(WALKED[name].program)["soft_rows"]
    transfers = ("H_PREFETCH_V", "H_STORE_V")
    return [
        [step for step in steps if step.mnemonic in transfers and step.operands["rs2"] == base]
        for steps in WALKED[name].steps
    ]


@every_walk
def test_each_forward_leaves_what_the_next_one_takes(name: str) -> None:
    forwards, found = WALKED[name].forwards, moves(name)
    taken = [[step.state["h_rows"][0] for step in steps if step.mnemonic == "H_PREFETCH_V"] for steps in found]
    left = [[step.state["h_rows"][0] for step in steps if step.mnemonic == "H_STORE_V"] for steps in found]
    counts = [[forward.soft_rows] if forward.soft_rows else [] for forward in forwards]
    assert taken == counts
    assert left == [*counts[1:], []]
    assert sum(map(len, counts)) > 3
    assert name != "shared" or len({(f.q_rows, f.soft_rows, f.kv_rows) for f in forwards}) > 16


@every_walk
def test_mixtures_go_to_the_rows_of_the_block(name: str) -> None:
    phases = WALKED[name].program.header.phases
    for forward, steps in zip(WALKED[name].forwards, WALKED[name].steps, strict=True):
        embedding = [step for step in steps if phases[step.phase].operator == "embed"]
        gathered = next(step.operands["rd"] for step in embedding if step.mnemonic == "H_GATHER_V")
        added = [step for step in embedding if step.mnemonic in ("V_ADD_VV", "V_ADD_VF")]
        first = forward.block_start - forward.q_start
        assert {step.operands["rd"] for step in added} <= {gathered + first * SMALL.vlen}
        assert {step.mnemonic for step in added} <= {"V_ADD_VF" if forward.soft_terms else "V_ADD_VV"}
        assert sum(step.state["v_rows"][0] for step in added) == forward.soft_rows


@every_walk
def test_only_sums_of_all_embeddings_read_the_transposed_table(name: str) -> None:
    counts = [forward.soft_rows * (forward.soft_terms == 0) for forward in WALKED[name].forwards]
    expected = [["weights", "lm_head", *(["embedding_t"] if count else [])] for count in [*counts[1:], 0]]
    assert used_regions(WALKED[name].program) == [
        [region for region in regions if region != "lm_head" or forward.head_rows]
        for regions, forward in zip(expected, WALKED[name].forwards, strict=True)
    ]


@every_walk
def test_ideal_work_is_close_to_what_is_done(name: str) -> None:
    made = WALKED[name].program
    ideal = made.header.ideal["total"]["tensor_cycles"]
    assert ideal <= tensor_cycles(made) <= 1.10 * ideal


@pytest.mark.parametrize(
    ("name", "logits", "message"),
    [
        ("all", "onchip", "logits are mixed again later; expected spill"),
        ("shared", "onchip", "logits are mixed again later; expected spill"),
        ("one", "online", "logits are mixed again later; expected spill"),
    ],
)
def test_logits_that_are_gone_are_refused(name: str, logits: str, message: str) -> None:
    roomy = attrs.evolve(SMALL, vector_vectors=8192)
    with pytest.raises(WorkloadError, match=message):
        lower(MODEL, WALKED[name].schedule, roomy, LoweringOptions(logits=logits))


def changed(**changes: object) -> Schedule:
    """DMax with its second forward changed."""
    forwards = list(WALKED["one"].forwards)
    index = next(index for index, forward in enumerate(forwards) if forward.soft_rows)
    forwards[index] = attrs.evolve(forwards[index], **changes)
    return scripted(*forwards)


def test_more_rows_than_have_logits_are_refused() -> None:
    with pytest.raises(WorkloadError, match="17 soft rows; expected at most the 16 LM-head rows of the forward before"):
        lower(MODEL, changed(soft_rows=17), SMALL)


def test_several_sequences_are_refused() -> None:
    with pytest.raises(WorkloadError, match="mixtures of embeddings for 2 sequences; expected one sequence"):
        lower(MODEL, changed(sequences=2), SMALL)
