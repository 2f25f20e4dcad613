"""Programs whose rows enter as mixtures of embeddings, checked by walking them: which rows, when, with what work."""

from __future__ import annotations

from functools import cache

import attrs
import pytest

from archsim.errors import WorkloadError
from archsim.isa.program import Program
from tests.workloads.small_view import MODEL, SMALL
from tests.workloads.streams import used_regions
from tests.workloads.walk import Step, walk
from workloads.forwards import Forward
from workloads.lowering.generation import lower
from workloads.lowering.options import LoweringOptions
from workloads.schedules import build_schedule

WALKED: dict[str, tuple[str, dict[str, object]]] = {
    "all": ("iteration-smoothing", {"prompt": 16, "gen": 32, "block": 16, "mean": 4.0}),
    "implemented": ("iteration-smoothing", {"prompt": 16, "gen": 32, "block": 16, "mean": 4.0, "as_": "implemented"}),
    "one": ("dmax", {"prompt": 16, "gen": 32, "block": 16, "mean": 4.0}),
    "shared": ("dmax", {"prompt": 16, "gen": 96, "block": 32, "mean": 1.5, "top_k": 2}),
}
every_walk = pytest.mark.parametrize("name", WALKED)


def forwards_of(name: str) -> list[Forward]:
    kind, options = WALKED[name]
    return list(build_schedule(kind, **options).forwards())


@cache
def program(name: str) -> Program:
    kind, options = WALKED[name]
    return lower(MODEL, build_schedule(kind, **options), SMALL)


@cache
def moves(name: str) -> list[list[Step]]:
    """Of every forward, its transfers from and to the mixtures."""
    made, out = program(name), []
    base = next(region["base"] for region in made.header.regions if region["name"] == "soft_rows")
    for step in walk(made):
        if step.mnemonic == "C_PHASE" and made.header.phases[step.operands["imm"]].operator == "embed":
            out.append([])
        elif step.mnemonic in ("H_PREFETCH_V", "H_STORE_V") and step.operands["rs2"] == base:
            out[-1].append(step)
    return out


@every_walk
def test_each_forward_leaves_what_the_next_one_takes(name: str) -> None:
    forwards = forwards_of(name)
    taken = [[step.state["h_rows"][0] for step in steps if step.mnemonic == "H_PREFETCH_V"] for steps in moves(name)]
    left = [[step.state["h_rows"][0] for step in steps if step.mnemonic == "H_STORE_V"] for steps in moves(name)]
    counts = [[forward.soft_rows] if forward.soft_rows else [] for forward in forwards]
    assert taken == counts
    assert left == [*counts[1:], []]
    assert sum(map(len, counts)) > 3
    assert name != "shared" or len({(f.q_rows, f.soft_rows, f.kv_rows) for f in forwards}) > 16


@every_walk
def test_mixtures_go_to_the_rows_of_the_block(name: str) -> None:
    made, index = program(name), -1
    forwards, added = forwards_of(name), [0] * len(forwards_of(name))
    places: dict[int, tuple[int, int]] = {}  # where embeddings are gathered to, and the mixtures
    for step in walk(made):
        if step.mnemonic == "C_PHASE" and made.header.phases[step.operands["imm"]].operator == "embed":
            index += 1
        elif index >= 0 and made.header.phases[step.phase].operator == "embed":
            if step.mnemonic == "H_GATHER_V":
                places.setdefault(index, (step.operands["rd"], -1))
            elif step.mnemonic in ("V_ADD_VV", "V_ADD_VF"):
                first = forwards[index].block_start - forwards[index].q_start
                assert step.operands["rd"] == places[index][0] + first * SMALL.vlen
                assert (step.mnemonic == "V_ADD_VF") == (forwards[index].soft_terms > 0)
                added[index] += step.state["v_rows"][0]
    assert added == [forward.soft_rows for forward in forwards]


@every_walk
def test_only_sums_of_all_embeddings_read_the_transposed_table(name: str) -> None:
    counts = [forward.soft_rows * (forward.soft_terms == 0) for forward in forwards_of(name)]
    expected = [["weights", "lm_head", *(["embedding_t"] if count else [])] for count in [*counts[1:], 0]]
    assert used_regions(program(name)) == [
        [region for region in regions if region != "lm_head" or forward.head_rows]
        for regions, forward in zip(expected, forwards_of(name), strict=True)
    ]


@every_walk
def test_ideal_work_is_close_to_what_is_done(name: str) -> None:
    made = program(name)
    tiles = sum(
        SMALL.blen * step.state["m_tiles"][0] for step in walk(made) if step.mnemonic in ("M_MM", "M_BMM", "M_BTMM")
    )
    ideal = made.header.ideal["total"]["tensor_cycles"]
    assert ideal <= tiles <= 1.10 * ideal


@pytest.mark.parametrize(
    ("name", "logits", "message"),
    [
        ("all", "onchip", "logits are mixed again later; expected spill"),
        ("shared", "onchip", "logits are mixed again later; expected spill"),
        ("one", "online", "logits are mixed again later; expected spill"),
    ],
)
def test_logits_that_are_gone_are_refused(name: str, logits: str, message: str) -> None:
    kind, options = WALKED[name]
    roomy = attrs.evolve(SMALL, vector_vectors=8192)
    with pytest.raises(WorkloadError, match=message):
        lower(MODEL, build_schedule(kind, **options), roomy, LoweringOptions(logits=logits))


class Changed:
    """DMax with its second forward changed."""

    name, unlowerable, evidence, commit_source = "changed", None, "code run", None

    def __init__(self, **changes: object) -> None:
        self.changes = changes

    def forwards(self):  # type: ignore[no-untyped-def]
        forwards = forwards_of("one")
        index = next(index for index, forward in enumerate(forwards) if forward.soft_rows)
        forwards[index] = attrs.evolve(forwards[index], **self.changes)
        return iter(forwards)


def test_more_rows_than_have_logits_are_refused() -> None:
    with pytest.raises(WorkloadError, match="17 soft rows; expected at most the 16 LM-head rows of the forward before"):
        lower(MODEL, Changed(soft_rows=17), SMALL)  # type: ignore[arg-type]


def test_several_sequences_are_refused() -> None:
    with pytest.raises(WorkloadError, match="mixtures of embeddings for 2 sequences; expected one sequence"):
        lower(MODEL, Changed(sequences=2), SMALL)  # type: ignore[arg-type]
