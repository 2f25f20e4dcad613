"""The published sampler's program against the published cycle table, counted without a simulator."""

from __future__ import annotations

from collections import Counter

import pytest

from archsim.errors import WorkloadError
from archsim.isa.program import Program
from archsim.isa.timing.cost import cost_symbols, cost_table, cycles_of
from workloads.validation.published import Shape, published_sampler

MIB = 2**20


def executions(program: Program) -> Counter[str]:
    """How often each instruction runs; every loop has a literal trip count."""
    counts: Counter[str] = Counter()
    times, outer = 1, []
    for item in program.instructions:
        mnemonic = item.opcode.mnemonic
        counts[mnemonic] += times
        if mnemonic == "C_LOOP_START":
            outer.append(times)
            times *= item.values[1]
        elif mnemonic == "C_LOOP_END":
            times = outer.pop()
    return counts


def cycles_by_kind(program: Program) -> Counter[str]:
    vlen = program.header.requires["core.vlen"]
    assert isinstance(vlen, int)
    costs = cost_table({}, cost_symbols(blen=64, mlen=vlen, hlen=128, vlen=vlen))
    kinds: Counter[str] = Counter()
    for mnemonic, count in executions(program).items():
        latency, _ = cycles_of(costs[mnemonic], program.header.block)
        kinds[mnemonic[0]] += count * latency
    return kinds


def test_vector_cycles_are_the_published_ones() -> None:
    assert cycles_by_kind(published_sampler(2048))["V"] == 477_696


def test_scalar_and_control_cycles_are_within_one_percent() -> None:
    kinds = cycles_by_kind(published_sampler(2048))
    assert abs(kinds["S"] + kinds["C"] - 121_021) <= 1_210


@pytest.mark.parametrize(("vlen", "logits"), [(2048, 1984), (1024, 3968), (512, 7904)])
def test_prefetches_are_one_per_16_vectors_of_logits_and_one_for_masks(vlen: int, logits: int) -> None:
    assert executions(published_sampler(vlen))["H_PREFETCH_V"] == logits + 1


@pytest.mark.parametrize(("vlen", "vectors"), [(2048, 2032), (1024, 4016), (512, 7952)])
def test_everything_fits_into_8_mib_of_vector_sram(vlen: int, vectors: int) -> None:
    shape = Shape(vlen=vlen, batch=16, length=32, vocab=126464)
    assert shape.vector_sram_vectors == vectors
    assert vectors * vlen * 2 <= 8 * MIB


def test_more_steps_repeat_the_work() -> None:
    one, three = (executions(published_sampler(64, batch=2, length=8, vocab=256, steps=n)) for n in (1, 3))
    for mnemonic in ("V_RED_SUM", "H_PREFETCH_V", "V_TOPK_MASK", "S_SELECT_INT"):
        assert three[mnemonic] == 3 * one[mnemonic]


def test_steps_share_out_the_positions() -> None:
    image = published_sampler(64, batch=2, length=8, vocab=256, steps=3).header.int_mem[0]
    assert image[-3:] == (3, 3, 2)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"batch": 0}, "sampler: batch = 0; expected at least 1"),
        ({"length": 65}, "sampler: length = 65; expected at most vlen = 64, one vector of confidences"),
        ({"length": 4, "steps": 5}, "sampler: steps = 5; expected at most length = 4, one position a step"),
    ],
)
def test_impossible_sizes_are_refused(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(WorkloadError) as error:
        published_sampler(64, **sizes)
    assert str(error.value) == message
