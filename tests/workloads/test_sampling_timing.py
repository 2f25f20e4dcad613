"""Our sampling phase on the reference machine: how close it comes to the vector unit's bound."""

from __future__ import annotations

import attrs
import pytest

from archsim import load_machine, simulate
from archsim.errors import WorkloadError
from workloads.lowering.emit.builder import Builder
from workloads.lowering.plan.machine_view import REFERENCE
from workloads.lowering.sampling.phase import emit_sampling
from workloads.lowering.sampling.plan import SamplingPlan, rows_per_load
from workloads.validation.own import own_sampler

ROW_CYCLES = 62 * (4 + 2 + 1 + 8)
"""Vector cycles of one position at VLEN 2048."""


def cycles(batch: int, group_rows: int | None = None) -> int:
    program = own_sampler(REFERENCE, batch=batch, group_rows=group_rows)
    return simulate(program, load_machine("dart-2048"), issue="overlap").cycles


def test_llada_block_is_within_two_percent_of_the_vector_bound() -> None:
    bound = 512 * ROW_CYCLES + 16 * 96
    assert bound < cycles(16) <= bound * 102 // 100


def test_each_further_sequence_costs_its_vector_work_and_the_exposed_transfer() -> None:
    """Loads and per-row scalar work hide; after the last row S_MAP_V_FP (32) and V_TOPK_MASK (96) do not."""
    more = cycles(4, group_rows=8) - cycles(3, group_rows=8)
    visible = 32 * ROW_CYCLES + 32 + 96
    assert visible <= more <= visible + 64


def test_serial_issue_hides_nothing() -> None:
    program = own_sampler(REFERENCE, batch=2)
    machine = load_machine("dart-2048")
    serial, overlap = (simulate(program, machine, issue=mode).cycles for mode in ("serial", "overlap"))
    assert serial > overlap + 5_000


@pytest.mark.parametrize(
    ("rows", "chunks", "vectors", "expected"),
    [(32, 62, 3968, 32), (32, 62, 3967, 16), (32, 62, 2030, 16), (32, 62, 124, 1), (32, 62, 123, 0), (5, 10, 999, 5)],
)
def test_rows_per_load_is_the_largest_even_division_that_fits_twice(
    rows: int, chunks: int, vectors: int, expected: int
) -> None:
    assert rows_per_load(rows, chunks, vectors) == expected


def plan(**changes: object) -> SamplingPlan:
    base = SamplingPlan(sequences=2, rows=4, vocab=640, vlen=64, buffer=8, buffer_vectors=20)
    return attrs.evolve(base, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "offchip"}, "sampling mode: 'offchip'; expected one of spill, rows, onchip, edge"),
        ({"buffer_vectors": 19}, "sampling, spill: 19 vectors for logits; expected at least 20"),
        ({"mode": "onchip"}, "sampling, onchip: 20 vectors for logits; expected at least 80"),
        ({"mode": "edge", "buffer_vectors": 1}, "sampling, edge: 1 vectors for logits; expected at least 2"),
        ({"rows": 65, "mode": "edge"}, "sampling: 65 block rows; expected at most VLEN = 64"),
    ],
)
def test_a_plan_without_room_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(WorkloadError) as error:
        emit_sampling(Builder(), plan(**changes))
    assert str(error.value) == message


def test_a_machine_with_too_little_int_mem_is_refused() -> None:
    with pytest.raises(WorkloadError) as error:
        own_sampler(attrs.evolve(REFERENCE, int_words=1024))
    assert str(error.value) == "sampler on dart-2048: 1025 words of INT_MEM needed; expected at most 1024"
