"""Attention to chosen blocks of keys: what is loaded, and what choosing costs."""

from __future__ import annotations

from functools import cache

import pytest

from archsim.isa.program import Program
from tests.workloads.small_view import SMALL, shrunk
from tests.workloads.walk import Step, walk
from workloads.forwards import Window
from workloads.lowering.attention.key_blocks import block_starts
from workloads.lowering.generation import lower
from workloads.schedules import build_schedule

MODEL = shrunk(2)
ROWS, CHOICE = 96, 1  # the second step chooses: int(4 * 0) + 1
TILES = ROWS // SMALL.blen
WIDTH = MODEL.kv_heads * MODEL.head_dim


@cache
def program(index: int, block: int = 32, prompt: int = 64) -> Program:
    schedule = build_schedule("sparsed", prompt=prompt, gen=32, steps=4, skip=0.0, select=0.3, attention_block=block)
    return lower(MODEL, schedule, SMALL, window=Window(index, index + 1))


def key_loads(made: Program) -> list[Step]:
    return [s for s in walk(made) if s.mnemonic == "H_PREFETCH_M" and s.operands["precision"] == 1]


def elements(made: Program) -> int:
    return sum(step.state["m_fetch"][0] * step.state["m_fetch"][1] for step in key_loads(made))


@pytest.mark.parametrize(("block", "prompt"), [(16, 64), (32, 64), (64, 224)])
def test_every_query_tile_loads_its_own_blocks(block: int, prompt: int) -> None:
    rows, kept = prompt + 32, program(2, block, prompt).header.forwards[0]["kv_rows"]
    assert block <= kept < rows
    assert elements(program(0, block, prompt)) == MODEL.layers * 2 * rows * WIDTH
    assert elements(program(2, block, prompt)) == MODEL.layers * 2 * rows // SMALL.blen * kept * WIDTH


def test_query_tiles_do_not_all_load_the_same_blocks() -> None:
    sources = {step.operands["rs1"] for step in key_loads(program(2))}
    assert len(sources) > 2 * program(2).header.forwards[0]["kv_rows"] // 32


def test_choosing_costs_two_passes_and_a_top_k_for_each_head() -> None:
    dense, choosing = ([step.mnemonic for step in walk(program(index))] for index in (0, CHOICE))
    assert choosing.count("M_BTMM") == 3 * dense.count("M_BTMM")
    assert choosing.count("M_BMM") == dense.count("M_BMM")
    assert choosing.count("V_TOPK_MASK") - dense.count("V_TOPK_MASK") == 2 * MODEL.layers * TILES * MODEL.heads


def test_ideal_work_follows_the_keys() -> None:
    dense, choosing, sparse = (program(index).header.ideal["total"] for index in (0, CHOICE, 2))
    for amount in ("tensor_cycles", "vector_cycles"):
        assert sparse[amount] < dense[amount] < choosing[amount]


@pytest.mark.parametrize(("rows", "block"), [(96, 32), (100, 32), (7, 8), (1, 1), (250, 16)])
def test_every_block_is_in_the_list_once_and_on_the_canvas(rows: int, block: int) -> None:
    starts = block_starts(rows, block)
    whole = rows // block * block
    assert sorted(start for start in starts if start < whole and start % block == 0) == list(range(0, whole, block))
    assert all(start >= 0 and (start + block <= rows or rows < block) for start in starts)
