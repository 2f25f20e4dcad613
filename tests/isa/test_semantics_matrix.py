"""Tensor core, transfers and KV engine against plain numpy, `dot` and `smoothing`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from archsim import MachineParams, execute, load_tensors, new_state
from archsim.errors import MemoryFault, ProgramFault
from archsim.isa.formats import FORMATS
from archsim.isa.semantics.dot import block_dot
from archsim.isa.semantics.numbers import NUMBERS, quantise, round_trip
from archsim.isa.semantics.rounding import through
from archsim.isa.semantics.smoothing import Scheme, calibrate, fold_query, recover, store
from archsim.isa.semantics.storage import encode
from tests.isa.valued import BF16, FP32, core_after, rows
from tests.system.small import BLEN, HLEN, VLEN, integers, machine, program

SCALE = 1 << 16
MX = {"weights": "mxint4", "kv": "mxint4", "activations": "mxint8", "vector_hbm": "mxfp8"}
X = rows(2 * BLEN, 5)
WEIGHTS = np.random.default_rng(7).integers(-8, 9, (2 * BLEN, VLEN)).astype(np.float32) / 4
"""Two tiles: BLEN outputs of VLEN terms each."""
CACHE = np.random.default_rng(8).integers(-8, 9, (2 * HLEN, VLEN)).astype(np.float32) / 4
"""Two tiles of HLEN tokens."""


def in_hbm(values: np.ndarray, fmt: str, at: int = 0) -> dict[str, np.ndarray]:
    """Tensors that put a run of elements at byte `at`, and its scales SCALE behind."""
    codes, scales = encode(values.reshape(-1).astype(np.float32), FORMATS[fmt])
    return {f"hbm@{at}": codes} | ({f"hbm@{at + SCALE}": scales} if len(scales) else {})


def after(text: str, stored: np.ndarray, formats: dict[str, str], fmt: str, **registers: int) -> Any:
    tensors = in_hbm(stored, fmt) | {"vectors": X}
    setup = f"S_LUI_INT gp15, {SCALE >> 12}\nC_SET_SCALE_REG gp15\n"
    return core_after(setup + text, formats=formats, tensors=tensors, **registers)


OUT = 2 * BLEN * VLEN


@pytest.mark.parametrize("formats", [FP32, MX], ids=["fp32", "mx"])
def test_a_tile_of_products(formats: dict[str, str]) -> None:
    text = "H_PREFETCH_M gp0, gp0, a0\nM_MM gp0, gp0\nM_MM_WO gp1, gp0, 8"
    core = after(text, WEIGHTS[:BLEN], formats, formats["weights"], gp1=OUT)
    weights = through(WEIGHTS[:BLEN], FORMATS[formats["weights"]])
    taken = through(X[:BLEN], FORMATS[formats["activations"]])
    found = core.vectors[2 * BLEN : 3 * BLEN]
    assert np.array_equal(found[:, BLEN : 2 * BLEN], taken @ weights.T)
    assert np.isnan(found[:, :BLEN]).all()


def test_tiles_along_the_reduction_and_fewer_rows() -> None:
    text = "C_SET_M_FETCH gp2, gp0\nH_PREFETCH_M gp0, gp0, a0\nC_SET_M_TILES gp2, gp3\nC_SET_M_ROWS gp4\n"
    core = after(text + "M_MM gp0, gp0\nM_MM_WO gp1, gp0", WEIGHTS, FP32, "fp32", gp1=OUT, gp2=2, gp3=BLEN, gp4=3)
    expected = X[:3] @ WEIGHTS[:BLEN].T + X[BLEN : BLEN + 3] @ WEIGHTS[BLEN:].T
    assert np.array_equal(core.vectors[2 * BLEN : 2 * BLEN + 3, :BLEN], expected)
    assert np.isnan(core.vectors[2 * BLEN + 3]).all()


def test_a_short_tile_reads_as_many_lanes() -> None:
    text = "C_SET_M_FETCH gp2, gp3\nH_PREFETCH_M gp0, gp0, a0\nM_MM gp0, gp0\nM_MM_WO gp1, gp0"
    core = after(text, WEIGHTS[:BLEN, :40], FP32, "fp32", gp1=OUT, gp2=1, gp3=40 * BLEN)
    assert np.array_equal(core.vectors[2 * BLEN : 3 * BLEN, :BLEN], X[:BLEN, :40] @ WEIGHTS[:BLEN, :40].T)


def test_the_transposed_forms_read_runs_of_blen() -> None:
    stored = np.ascontiguousarray(WEIGHTS[:BLEN].T)
    core = after("H_PREFETCH_M gp0, gp0, a0\nM_TMM gp0, gp0\nM_MM_WO gp1, gp0", stored, FP32, "fp32", gp1=OUT)
    assert np.array_equal(core.vectors[2 * BLEN : 3 * BLEN, :BLEN], X[:BLEN] @ WEIGHTS[:BLEN].T)
    core = after("H_PREFETCH_M gp0, gp0, a0\nM_TMV gp0, gp0\nM_MV_WO gp1, 0", stored, FP32, "fp32", gp1=OUT)
    assert np.array_equal(core.vectors[2 * BLEN, :BLEN], X[0] @ WEIGHTS[:BLEN].T)


@pytest.mark.parametrize("accumulator", ["fp32", "fp16", "bf16"])
def test_block_sums_are_added_as_dot_adds_them(accumulator: str) -> None:
    wide = np.random.default_rng(3).standard_normal((BLEN, VLEN)).astype(np.float32)
    left = np.random.default_rng(4).standard_normal((BLEN, VLEN)).astype(np.float32)
    text = f"S_LUI_INT gp15, {SCALE >> 12}\nC_SET_SCALE_REG gp15\n"
    text += "H_PREFETCH_M gp0, gp0, a0\nM_MM gp0, gp0\nM_MM_WO gp1, gp0"
    tensors = in_hbm(wide, "mxint4") | {"vectors": left}
    core = core_after(text, formats=MX, tensors=tensors, sections={"tensor": {"accumulator": accumulator}}, gp1=OUT)
    found = core.vectors[2 * BLEN : 3 * BLEN, :BLEN]
    for row in range(BLEN):
        for column in range(BLEN):
            pair = (quantise(left[row], NUMBERS["mxint8"]), NUMBERS["mxint8"])
            other = (quantise(wide[column], NUMBERS["mxint4"]), NUMBERS["mxint4"])
            assert found[row, column] == block_dot(pair, other, accumulator)


def attention(queries: np.ndarray, keys: np.ndarray, group: int, first: int) -> np.ndarray:
    """Packed scores: (rows, heads * tokens), head h against the KV head that it shares."""
    heads = VLEN // HLEN
    out = np.zeros((len(queries), VLEN), np.float32)
    for head in range(heads):
        kv = (first + head) // group
        lanes = slice(head * HLEN, (head + 1) * HLEN)
        if (kv + 1) * HLEN <= keys.shape[1]:
            out[:, head * HLEN : head * HLEN + len(keys)] = queries[:, lanes] @ keys[:, kv * HLEN : (kv + 1) * HLEN].T
    return out


@pytest.mark.parametrize(("group", "first", "width"), [(1, 0, 64), (2, 0, 32), (4, 0, 16), (2, 2, 64), (2, 1, 64)])
def test_packed_scores_take_the_kv_head_of_their_group(group: int, first: int, width: int) -> None:
    keys = CACHE[:HLEN, :width]
    text = "C_SET_STRIDE_REG gp2\nC_SET_M_FETCH gp3, gp4\nH_PREFETCH_M gp0, gp0, a0, 0, 1\nC_SET_M_GROUP gp5, gp6\n"
    numbers = {"gp1": OUT, "gp2": width, "gp3": 1, "gp4": HLEN * width, "gp5": group, "gp6": first}
    core = after(text + "M_BTMM gp0, gp0\nM_BMM_WO gp1, 0", keys, FP32, "fp32", **numbers)
    assert np.array_equal(core.vectors[2 * BLEN : 3 * BLEN], attention(X[:BLEN], keys, group, first))


def test_fewer_tokens_score_zero_behind_them() -> None:
    text = "C_SET_M_FETCH gp3, gp4\nH_PREFETCH_M gp0, gp0, a0, 0, 1\nM_BTMM gp0, gp0\nM_BMM_WO gp1, 0"
    core = after(text, CACHE[:5], FP32, "fp32", gp1=OUT, gp3=1, gp4=5 * VLEN)
    assert np.array_equal(core.vectors[2 * BLEN : 3 * BLEN], attention(X[:BLEN], CACHE[:5], 1, 0))


@pytest.mark.parametrize(("group", "first"), [(1, 0), (2, 0), (2, 2)])
def test_packed_outputs_sum_over_tokens_and_tiles(group: int, first: int) -> None:
    text = "C_SET_M_FETCH gp3, gp0\nH_PREFETCH_M gp0, gp0, a0, 0, 1\nC_SET_M_GROUP gp5, gp6\nC_SET_M_TILES gp3, gp4\n"
    numbers = {"gp1": OUT, "gp3": 2, "gp4": BLEN, "gp5": group, "gp6": first}
    core = after(text + "M_BMM gp0, gp0\nM_BMM_WO gp1, 0", CACHE, FP32, "fp32", **numbers)
    expected = np.zeros((BLEN, VLEN), np.float32)
    for head in range(VLEN // HLEN):
        lanes, kv = slice(head * HLEN, (head + 1) * HLEN), (first + head) // group * HLEN
        for tile in range(2):
            weights = X[tile * BLEN : (tile + 1) * BLEN, lanes]
            expected[:, lanes] += weights @ CACHE[tile * HLEN : (tile + 1) * HLEN, kv : kv + HLEN]
    assert np.array_equal(core.vectors[2 * BLEN : 3 * BLEN], expected)


def test_the_row_forms_are_the_first_row() -> None:
    fetch = "H_PREFETCH_M gp0, gp0, a0, 0, 1\n"
    core = after(fetch + "M_BTMV gp0, gp0\nM_BMV_WO gp1, 0", CACHE[:HLEN], FP32, "fp32", gp1=OUT)
    assert np.array_equal(core.vectors[2 * BLEN], attention(X[:1], CACHE[:HLEN], 1, 0)[0])
    core = after(fetch + "M_BMV gp0, gp0\nM_BMV_WO gp1, 0", CACHE[:HLEN], FP32, "fp32", gp1=OUT)
    parts = [X[0, h * HLEN : (h + 1) * HLEN] @ CACHE[:HLEN, h * HLEN : (h + 1) * HLEN] for h in range(VLEN // HLEN)]
    assert np.array_equal(core.vectors[2 * BLEN], np.concatenate(parts))
    core = after("H_PREFETCH_M gp0, gp0, a0\nM_MV gp0, gp0\nM_MV_WO gp1, 0", WEIGHTS[:BLEN], FP32, "fp32", gp1=OUT)
    assert np.array_equal(core.vectors[2 * BLEN, :BLEN], X[0] @ WEIGHTS[:BLEN].T)


FAULTY = {
    "M_MM gp0, gp0\nM_BMM_WO gp1, 0": (ProgramFault, "the accumulator holds 8 columns; expected 64"),
    "M_MM gp0, gp0\nH_PREFETCH_M gp0, gp0, a0, 0, 1\nM_BTMM gp0, gp0": (
        ProgramFault, "expected a drain before one of 64",
    ),
    "M_BTMM gp0, gp0": (MemoryFault, "expected the first cell of a key or value tile that was fetched"),
    "M_MM gp2, gp0": (MemoryFault, "reads Matrix SRAM at 8; expected the first cell of a weight tile"),
    "C_SET_M_FETCH gp2, gp3\nH_PREFETCH_M gp0, gp0, a0": (ProgramFault, "9 elements; expected 8 runs of up to 64"),
    "C_SET_M_FETCH gp2, gp3\nH_PREFETCH_M gp0, gp0, a0, 0, 1": (ProgramFault, "expected 1..16 tokens of 64 lanes"),
}  # fmt: skip


@pytest.mark.parametrize("text", FAULTY)
def test_tiles_are_read_as_what_they_are(text: str) -> None:
    error, message = FAULTY[text]
    with pytest.raises(error, match=message):
        after("H_PREFETCH_M gp0, gp0, a0\n" + text, CACHE, FP32, "fp32", gp1=OUT, gp2=8, gp3=9)


ROWS = "C_SET_H_ROWS gp3, gp4, gp5\n"


@pytest.mark.parametrize("fmt", ["bf16", "mxfp8", "mxint8", "mxint4", "fp32"])
@pytest.mark.parametrize("strided", [0, 1])
def test_rows_go_out_and_come_back(fmt: str, strided: int) -> None:
    """Three rows of 96 elements in two column blocks, four vectors apart on chip; pitch 128 where strided."""
    code = FORMATS[fmt].code
    how = f"gp0, a0, {strided}, {code}"
    text = ROWS + f"C_SET_STRIDE_REG gp6\nH_STORE_V gp0, {how}\nH_PREFETCH_V gp1, {how}"
    core = after(text, WEIGHTS, BF16, "bf16", gp1=OUT, gp3=3, gp4=96, gp5=4, gp6=128)
    expected = through(np.concatenate([X[:3], X[4:7, :32]], axis=1), FORMATS[fmt])
    assert np.array_equal(core.vectors[16:19], expected[:, :64])
    assert np.array_equal(core.vectors[20:23, :32], expected[:, 64:])
    assert (core.vectors[20:23, 32:] == 0).all()
    raw = core.hbm.read((128 if strided else 96) * FORMATS[fmt].bits // 8, FORMATS[fmt].code_bytes(96))
    assert np.array_equal(raw, encode(expected[1], FORMATS[fmt])[0])


def test_a_gather_reads_the_ids_in_int_mem() -> None:
    made = program(
        integers(gp1=3, gp2=VLEN, gp3=5) + "C_SET_H_ROWS gp1, gp2, gp0\nH_GATHER_V gp0, gp3, a0, 6",
        gather_ids={"kind": "synthetic", "vocab": 2, "seed": 1},
    )
    state = new_state(made, machine(), "fp32")
    load_tensors(state, in_hbm(WEIGHTS, "fp32") | {"int_mem+5": np.array([9, 0, 15])})
    execute(state)
    assert np.array_equal(state.cores[0].vectors[:3], WEIGHTS[[9, 0, 15]])


@pytest.mark.parametrize("scheme", [0, 1, 2])
@pytest.mark.parametrize("stride", [0, 32])
def test_the_kv_engine_is_the_definition_of_smoothing(scheme: int, stride: int) -> None:
    """Calibrated over eight rows in two steps; four later ones are stored, read back and folded."""
    values = np.random.default_rng(2).standard_normal((2 * BLEN, VLEN)).astype(np.float32)
    lanes = stride or VLEN
    text = f"""
        S_LUI_INT gp15, {SCALE >> 12}
        C_SET_SCALE_REG gp15
        C_SET_STRIDE_REG gp7
        C_SET_V_ROWS gp4, gp5, gp5
        K_CALIB gp0, gp6, 1
        K_CALIB gp2, gp6
        K_STORE gp0, gp3, a0, gp6, {scheme}
        C_SET_M_FETCH gp5, gp8
        H_PREFETCH_M gp0, gp0, a0, 0, 1
        K_FOLD gp1, gp0, gp6
    """
    places = {"gp1": OUT, "gp2": 4 * VLEN, "gp3": 8 * VLEN, "gp4": 4, "gp5": 1, "gp6": 3, "gp7": stride}
    places["gp8"] = 4 * lanes
    core = core_after(text, formats=MX, tensors={"vectors": values}, **places)
    wide = values.astype(np.float64)
    smoothing = calibrate(wide[:8], Scheme(calibrated="warm"))
    assert np.array_equal(core.vectors[16:20], fold_query(wide[:4], Scheme(), smoothing).astype(np.float32))
    found = core.tiles[0].content.values
    if scheme < 2:
        assert np.array_equal(found, round_trip(values[8:12, :lanes], NUMBERS["mxint4"]))
        return
    expected = recover(store(wide[8:12], Scheme(calibrated="warm"), smoothing), Scheme(), smoothing)[:, :lanes]
    assert np.array_equal(found * smoothing.scale[:, :lanes], expected)


def test_folding_repeats_the_factors_of_a_shared_head() -> None:
    peaks = np.repeat(np.array([1.75, 3.5, 7.0, 14.0], np.float32), HLEN)[None]
    text = "K_CALIB gp1, gp0, 1\nC_SET_M_GROUP gp2, gp3\nK_FOLD gp0, gp0, gp0"
    tensors = {"vectors": np.concatenate([np.ones((1, VLEN), np.float32), peaks])}
    core = core_after(text, formats=MX, tensors=tensors, gp1=VLEN, gp2=2, gp3=2)
    assert core.vectors[0, ::HLEN].tolist() == [4.0, 4.0, 8.0, 8.0]


def test_cores_send_rows_and_add_them() -> None:
    params: MachineParams = machine(cores=2)
    text = integers(gp1=VLEN, gp2=1, gp6=2) + """
        S_LD_INT gp3, gp0
        C_BARRIER gp0, gp6
        N_PUT gp1, gp0, gp3
        N_WAIT gp2
        C_BARRIER gp0, gp6
        N_PUT gp1, gp0, gp3, 1
        N_WAIT gp2
    """
    state = new_state(program(text, int_mem=((1,), (0,))), params)
    load_tensors(state, {f"core{core}.vectors": X[core : core + 1] for core in range(2)})
    execute(state)
    assert np.array_equal(state.cores[0].vectors[1], 2 * X[1])
    assert np.array_equal(state.cores[1].vectors[1], 2 * X[0])
