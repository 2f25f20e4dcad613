"""Cache rows with scales by channel: what K_STORE and H_PREFETCH_M make of them, and what it costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from archsim import execute, load_tensors, new_state, simulate
from archsim.errors import MemoryFault, ProgramFault
from archsim.isa.semantics.asymmetric import dequantise_asymmetric, quantise_asymmetric
from archsim.isa.semantics.state import CoreState
from tests.system.small import HLEN, VLEN, integers, machine, program

SCALE = 1 << 16
FORMATS = {"weights": "mxint4", "kv": "int4_asymmetric", "activations": "mxint8", "vector_hbm": "mxfp8"}
LANES = 32
ROWS = np.random.default_rng(3).normal(size=(40, VLEN)).astype(np.float32)
SETUP = f"S_LUI_INT gp15, {SCALE >> 12}\nC_SET_SCALE_REG gp15\nC_SET_STRIDE_REG gp14\n"


def stored(values: np.ndarray, axis: int) -> np.ndarray:
    wide = values.astype(np.float64)
    return dequantise_asymmetric(quantise_asymmetric(wide, axis=axis), axis=axis).astype(np.float32)


def store(rows: int, source: int, target: int, scheme: int = 3) -> str:
    """Rows from vector `source` on to row `target` of the cache."""
    return f"""
        S_ADDI_INT gp1, gp0, {rows}
        S_ADDI_INT gp2, gp0, 1
        C_SET_V_ROWS gp1, gp2, gp2
        S_ADDI_INT gp3, gp0, {source * VLEN}
        S_ADDI_INT gp4, gp0, {target * LANES}
        K_STORE gp4, gp3, a0, gp0, {scheme}
    """


def fetch(tokens: int, precision: int = 8, element: int = 0) -> str:
    return f"""
        S_ADDI_INT gp5, gp0, 1
        S_ADDI_INT gp6, gp0, {tokens * LANES}
        S_ADDI_INT gp7, gp0, {element}
        C_SET_M_FETCH gp5, gp6
        H_PREFETCH_M gp0, gp7, a0, 0, {precision}
    """


def made(text: str, **formats: str) -> tuple[Any, Any]:
    return program(integers(gp14=LANES) + SETUP + text, formats=FORMATS | formats), machine()


def after(text: str, **formats: str) -> CoreState:
    code, params = made(text, **formats)
    state = new_state(code, params, "fp32")
    load_tensors(state, {"vectors": ROWS})
    execute(state)
    return state.cores[0]


@pytest.mark.parametrize(("precision", "scheme", "axis"), [(8, 3, 0), (1, 1, 1)])
def test_keys_share_scales_by_channel_and_values_by_token(precision: int, scheme: int, axis: int) -> None:
    found = after(store(32, 0, 0, scheme) + fetch(HLEN, precision)).tiles[0].content.values
    assert np.array_equal(found, stored(ROWS[:32, :LANES], axis)[:HLEN])


def test_a_part_of_a_group_is_merged_into_it() -> None:
    found = after(store(32, 0, 0) + store(5, 33, 9) + fetch(HLEN)).tiles[0].content.values
    merged = stored(ROWS[:32, :LANES], 0)
    merged[9:14] = ROWS[33:38, :LANES]
    assert np.array_equal(found, stored(merged, 0)[:HLEN])


def test_rows_that_nothing_has_written_have_no_part_in_a_group() -> None:
    found = after(store(6, 2, 0) + fetch(6)).tiles[0].content.values
    assert np.array_equal(found, stored(ROWS[2:8, :LANES], 0))


def test_a_store_over_two_groups_is_a_store_to_each() -> None:
    text = store(40, 0, 24) + fetch(HLEN, element=32 * LANES)
    assert np.array_equal(after(text).tiles[0].content.values, stored(ROWS[8:40, :LANES], 0)[:HLEN])


def traffic(text: str) -> tuple[int, int]:
    code, params = made(text)
    result = simulate(code, params)
    assert result.hbm["write_bytes"] == sum(phase.hbm_write_bytes for phase in result.phases)
    # Instruction fetch is no phase's.
    return sum(phase.hbm_read_bytes for phase in result.phases), result.hbm["write_bytes"]


def test_a_group_in_part_is_read_and_written_whole() -> None:
    """32 rows of 32 lanes are 512 B of codes and 128 B of scales and zero points."""
    assert traffic(store(32, 0, 0)) == (0, 640)
    assert traffic(store(5, 0, 9)) == (640, 640)
    assert traffic(store(32, 0, 16)) == (2 * 640, 2 * 640)
    assert traffic(store(5, 0, 9, 1)) == (0, 5 * (16 + 4))
    assert traffic(fetch(HLEN)) == (16 * HLEN + 128, 0)


def test_rows_pass_the_engine_twice_and_a_merge_waits_for_what_it_merges() -> None:
    engine = {}
    for name, text in {"tokens": store(32, 0, 0, 1), "whole": store(32, 0, 0), "part": store(31, 0, 0)}.items():
        code, params = made(text)
        result = simulate(code, params)
        engine[name] = next(unit.busy_cycles for path, unit in result.units.items() if path.endswith("kv_engine"))
    assert engine["whole"] == 2 * engine["tokens"] == 64
    assert engine["part"] > engine["whole"] + 50


OFF_ROW = store(1, 0, 1).replace("K_STORE", "C_SET_STRIDE_REG gp0\nK_STORE")
"""Rows of VLEN lanes, from the middle of one."""


@pytest.mark.parametrize("run", [execute, None], ids=["values", "time"])
@pytest.mark.parametrize(
    ("text", "formats", "error", "message"),
    [
        (store(32, 0, 0), {"kv": "mxint4"}, ProgramFault, "in mxint4; expected a format with zero points"),
        (OFF_ROW, {}, ProgramFault, "element 32, 0 elements from row to row; expected whole rows of 64"),
        (fetch(HLEN, element=16 * LANES), {}, MemoryFault, "element 512 in int4_asymmetric; expected the first of 32"),
        (fetch(HLEN), {"kv": "mxint4"}, MemoryFault, "element 0 in mxint4; expected the first of 32 rows"),
    ],
    ids=["format", "row", "group", "tile"],
)  # fmt: skip
def test_what_has_no_scales_by_channel(
    text: str, formats: dict[str, str], error: type[Exception], message: str, run: Any
) -> None:
    code, params = made(text, **formats)
    state = new_state(code, params, "fp32")
    load_tensors(state, {"vectors": ROWS})
    with pytest.raises(error, match=message):
        execute(state) if run else simulate(code, params)
