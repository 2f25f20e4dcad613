"""Programs whose forwards have different numbers of sequences: drafts of one canvas as a batch."""

from __future__ import annotations

from archsim.isa.program import Program
from archsim.machine import load_machine
from workloads.lowering.generation import lower_with_layout
from workloads.lowering.layout import Layout
from workloads.lowering.plan.machine_view import view_of
from workloads.models import load_model
from workloads.schedules import build_schedule


def made(name: str, **options: object) -> tuple[Program, Layout]:
    machine = load_machine("edge-256")
    core = machine.core
    model = load_model("llada-8b").shrunk(
        layers=2, vocab=4 * core.vlen, heads=4, kv_heads=4, head_dim=core.hlen, hidden=256, ffn=512
    )
    schedule = build_schedule(name, prompt=16, gen=32, block=16, mean=4.0, **options)
    return lower_with_layout(model, schedule, view_of(machine))


def count(program: Program, mnemonic: str) -> int:
    return sum(instruction.opcode.mnemonic == mnemonic for instruction in program.instructions)


def test_cache_and_tokens_have_room_for_the_most_drafts() -> None:
    few, many = (made("psd", depth=depth)[1] for depth in (2, 4))
    assert (few.sequences, many.sequences) == (2, 4)
    assert many.tensors.kv[""][0].elements == 2 * few.tensors.kv[""][0].elements
    assert many.tables.listed - many.tables.tokens >= 4 * many.tables.token_pitch


def test_drafts_are_copied_compared_and_settled() -> None:
    single, drafted = (made("psd", depth=depth)[0] for depth in (1, 2))
    assert any("drafts as a batch" in note for note in drafted.header.notes)
    assert not any("drafts as a batch" in note for note in single.header.notes)
    # One copy to the second draft, one back from the draft that is kept, and a second transfer of tokens.
    assert count(drafted, "S_SELECT_INT") == count(single, "S_SELECT_INT") + 2 + 2


def test_only_one_draft_commits() -> None:
    program, _ = made("explore-exploit", explore=2, branches=3)
    assert {forward["sequences"] for forward in program.header.forwards} == {1, 3}
    assert all(forward["committing"] == 1 for forward in program.header.forwards)


def test_ideal_work_grows_with_the_drafts() -> None:
    two, four = (made("psd", depth=depth)[0].header.ideal["total"] for depth in (2, 4))
    for amount in ("tensor_cycles", "vector_cycles", "hbm_bytes"):
        assert two[amount] < four[amount]
