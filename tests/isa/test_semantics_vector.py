"""Vector and scalar instructions against plain numpy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from archsim.errors import MemoryFault, ProgramFault
from tests.isa.valued import core_after, rows
from tests.system.small import HLEN, VLEN

A, B, OUT = 0, 4, 8
"""Vectors where operands lie (three of each) and the result goes."""
REGISTERS = {"gp1": A * VLEN, "gp2": B * VLEN, "gp3": OUT * VLEN, "gp4": 3, "gp5": 1, "gp7": 2, "gp8": 2}
THREE = "C_SET_V_ROWS gp4, gp5, gp5\n"
DATA = np.concatenate([rows(4, 1), rows(4, 2), rows(4, 3)])
FP = np.array([0.0, 2.5, -1.25, 0.75], np.float32)


def vectors(text: str, acts: str = "fp32") -> np.ndarray:
    tensors = {"vectors": DATA, "fp_mem": FP}
    return core_after("S_LD_FP f1, gp0, 1\n" + text, acts=acts, tensors=tensors, **REGISTERS).vectors


def registers(text: str) -> list[float]:
    tensors = {"vectors": DATA, "fp_mem": FP}
    return core_after("S_LD_FP f1, gp0, 1\nS_LD_FP f2, gp0, 2\n" + text, tensors=tensors, **REGISTERS).f


a, b = DATA[A : A + 3], DATA[B : B + 3]
with np.errstate(all="ignore"):
    ELEMENTWISE: dict[str, np.ndarray] = {
        "V_ADD_VV gp3, gp1, gp2": a + b,
        "V_SUB_VV gp3, gp1, gp2": a - b,
        "V_MUL_VV gp3, gp1, gp2": a * b,
        "V_MAX_VV gp3, gp1, gp2": np.maximum(a, b),
        "V_ADD_VF gp3, gp1, f1": a + np.float32(2.5),
        "V_SUB_VF gp3, gp1, f1": a - np.float32(2.5),
        "V_SUB_VF gp3, gp1, f1, 0, 1": np.float32(2.5) - a,
        "V_MUL_VF gp3, gp1, f1": a * np.float32(2.5),
        "V_EXP_V gp3, gp1": np.exp(a),
        "V_RECI_V gp3, gp1": 1 / a,
        "V_RSQRT_V gp3, gp1": 1 / np.sqrt(a),
        "V_PS_V gp3, gp1": np.cumsum(a, axis=1),
        "V_SHFT_V gp3, gp1, gp4": np.concatenate([np.zeros((3, 3), np.float32), a[:, :-3]], axis=1),
        "V_SELECT_VVM gp3, gp1, gp2, gp2": np.where(b[:1] != 0, a, b),
    }


@pytest.mark.parametrize("text", ELEMENTWISE)
def test_elementwise(text: str) -> None:
    found = vectors(THREE + text)
    assert np.array_equal(found[OUT : OUT + 3], ELEMENTWISE[text], equal_nan=True)
    assert np.array_equal(found[: OUT], DATA[:OUT])
    assert np.array_equal(found[OUT + 3], DATA[OUT + 3])


def test_results_are_rounded_to_the_format_of_vectors() -> None:
    exact = np.exp(a)
    found = vectors(THREE + "V_EXP_V gp3, gp1", acts="bf16")[OUT : OUT + 3]
    assert not np.array_equal(found, exact)
    assert (found.view(np.uint32) & 0xFFFF == 0).all()
    assert np.abs(found / exact - 1).max() <= 2**-8


def test_rows_lie_apart_and_rs2_may_stand_still() -> None:
    found = vectors("C_SET_V_ROWS gp4, gp5, gp0\nV_ADD_VV gp3, gp1, gp2")
    assert np.array_equal(found[OUT : OUT + 3], a + b[:1])
    found = vectors("C_SET_V_ROWS gp8, gp7, gp5\nV_ADD_VV gp3, gp1, gp2")
    assert np.array_equal(found[[OUT, OUT + 2]], DATA[[A, A + 2]] + DATA[[B, B + 1]])
    assert np.array_equal(found[OUT + 1], DATA[OUT + 1])


def test_with_stride_0_the_last_row_stays() -> None:
    found = vectors("C_SET_V_ROWS gp4, gp0, gp5\nV_ADD_VV gp3, gp1, gp2")
    assert np.array_equal(found[OUT], a[0] + b[2])


def test_masked_lanes_pass_through() -> None:
    on = np.repeat([True, False, True, False], HLEN)
    found = vectors("S_ADDI_INT gp7, gp0, 5\nC_SET_V_MASK_REG gp7\n" + THREE + "V_ADD_VV gp3, gp1, gp2, 1")
    assert np.array_equal(found[OUT : OUT + 3], np.where(on, a + b, a))


def test_hadamard_is_orthonormal_by_segment() -> None:
    found = vectors("S_ADDI_INT gp7, gp0, 16\nC_SET_V_SEG gp7\n" + THREE + "C_HADAMARD_TRANSFORM gp3, gp1")
    signs = np.array([[(-1) ** bin(i & j).count("1") for j in range(16)] for i in range(16)])
    assert np.allclose(found[OUT : OUT + 3].reshape(3, 4, 16), a.reshape(3, 4, 16) @ signs / 4)


def test_rotate_half_of_each_head() -> None:
    found = vectors(THREE + "V_ROT_SEG gp3, gp1")[OUT : OUT + 3].reshape(3, 4, 2, 8)
    heads = a.reshape(3, 4, 2, 8)
    assert np.array_equal(found, np.stack([-heads[:, :, 1], heads[:, :, 0]], axis=2))


REDUCTIONS: dict[str, tuple[int, float]] = {
    THREE + "V_RED_SUM f1, gp1": (1, 2.5 + a.sum()),
    THREE + "V_RED_MAX f2, gp1": (2, a.max()),
    "C_SET_V_LANES gp4, gp0\n" + THREE + "V_RED_SUM f1, gp1": (1, 2.5 + a[:, :3].sum()),
    "C_SET_V_LANES gp4, gp5\n" + THREE + "V_RED_SUM f1, gp1": (1, 2.5 + a[:2].sum() + a[2, :3].sum()),
    "C_SET_V_LANES gp4, gp0\n" + THREE + "V_RED_MAX f2, gp1": (2, max(-1.25, a[:, :3].max())),
}


@pytest.mark.parametrize("text", REDUCTIONS)
def test_reductions(text: str) -> None:
    register, expected = REDUCTIONS[text]
    assert registers(text)[register] == np.float32(expected)


MAXIMA: dict[str, tuple[Callable[[], np.ndarray], str]] = {
    "all lanes": (lambda: a.reshape(-1), ""),
    "three lanes a row": (lambda: np.where(np.arange(VLEN) < 3, a, -np.inf).reshape(-1), "C_SET_V_LANES gp4, gp0\n"),
}


@pytest.mark.parametrize("case", MAXIMA)
def test_argmax_counts_lanes_over_all_rows_and_the_first_wins(case: str) -> None:
    lanes, setting = MAXIMA[case]
    minus_infinity = "S_RECI_FP f3, f0\nS_SUB_FP f3, f0, f3\n"
    text = minus_infinity + setting + THREE + "V_RED_MAX_IDX gp9, gp1, gp2, f3"
    core = core_after(text, tensors={"vectors": DATA}, **REGISTERS)
    assert core.f[3] == lanes().max()
    assert core.gp[9] == B * VLEN + int(lanes().argmax())


def test_argmax_keeps_what_no_lane_exceeds() -> None:
    high = np.full((1, VLEN), 9, np.float32)
    text = "S_LD_FP f3, gp0\nV_RED_MAX_IDX gp9, gp0, gp2, f3"
    core = core_after(text, tensors={"vectors": high, "fp_mem": FP + 9}, gp2=7, gp9=77)
    assert (core.gp[9], core.f[3]) == (77, 9.0)


def test_segment_statistics_are_packed_and_used() -> None:
    text = THREE + "V_RED_MAX_SEG gp3, gp1\nV_SUB_SEG gp1, gp1, gp3\nV_RED_SUM_SEG gp3, gp1\nV_MUL_SEG gp2, gp2, gp3"
    found = vectors(text)
    heads = a.reshape(3, 4, HLEN)
    less = heads - heads.max(axis=2, keepdims=True)
    assert np.array_equal(found[OUT, :12], less.sum(axis=2).reshape(-1))
    assert np.array_equal(found[A : A + 3], less.reshape(3, VLEN))
    assert np.array_equal(found[B : B + 3], (b.reshape(3, 4, HLEN) * less.sum(axis=2)[:, :, None]).reshape(3, VLEN))
    assert np.array_equal(found[OUT, 12:], DATA[OUT, 12:])


def test_segment_statistics_accumulate() -> None:
    text = THREE + "V_RED_MAX_SEG gp3, gp1\nV_RED_MAX_SEG gp3, gp2, 1"
    expected = np.maximum(a.reshape(3, 4, HLEN).max(axis=2), b.reshape(3, 4, HLEN).max(axis=2))
    assert np.array_equal(vectors(text)[OUT, :12], expected.reshape(-1))
    text = THREE + "V_RED_SUM_SEG gp3, gp1\nV_RED_SUM_SEG gp3, gp2, 1"
    assert np.array_equal(vectors(text)[OUT, :12], (a + b).reshape(3, 4, HLEN).sum(axis=2).reshape(-1))


SCALARS = {
    "S_ADD_FP f3, f1, f2": 1.25, "S_SUB_FP f3, f1, f2": 3.75, "S_MUL_FP f3, f1, f2": -3.125,
    "S_MAX_FP f3, f1, f2": 2.5, "S_EXP_FP f3, f2": float(np.exp(np.float32(-1.25))),
    "S_RECI_FP f3, f1": float(np.float32(0.4)),
    "S_SQRT_FP f3, f1": float(np.sqrt(np.float32(2.5))), "S_RECI_FP f3, f0": np.inf,
    "S_ST_FP f1, gp4\nS_LD_FP f3, gp0, 3": 2.5,
}  # fmt: skip


@pytest.mark.parametrize("text", SCALARS)
def test_scalars(text: str) -> None:
    assert registers(text)[3] == SCALARS[text]


def test_f0_stays_zero() -> None:
    assert registers("S_ADD_FP f0, f1, f1")[0] == 0.0


def test_map_writes_as_many_lanes_as_it_is_told() -> None:
    found = vectors("S_MAP_V_FP gp3, gp0, 1, gp4")[OUT]
    assert np.array_equal(found[:3], FP[1:4])
    assert np.array_equal(found[3:], DATA[OUT, 3:])


def test_top_k_takes_the_largest_allowed_and_the_first_of_equals() -> None:
    confidence = np.zeros((1, VLEN), np.float32)
    confidence[0, :6] = [0.5, 0.9, 0.5, 0.9, 0.5, 1.0]
    allowed = np.ones((1, VLEN), np.float32)
    allowed[0, 5] = 0
    tensors = {"vectors": np.concatenate([confidence, allowed, np.full((1, VLEN), 9, np.float32)])}
    where = {"gp1": 0, "gp2": VLEN, "gp3": 2 * VLEN, "gp4": 3, "gp5": 6}
    found = core_after("V_TOPK_MASK gp3, gp1, gp2, gp4, gp5", tensors=tensors, **where).vectors[2]
    assert found[:7].tolist() == [1, 1, 0, 1, 0, 0, 9]
    where["gp4"] = 6
    found = core_after("V_TOPK_MASK gp3, gp1, gp2, gp4, gp5", tensors=tensors, **where).vectors[2]
    assert found[:7].tolist() == [1, 1, 1, 1, 1, 0, 9]


def test_select_int_follows_a_vector() -> None:
    mask = np.zeros((1, VLEN), np.float32)
    mask[0, [0, 2]] = [1.0, -0.5]
    tensors = {"vectors": mask, "int_mem": np.arange(10, 30)}
    core = core_after("S_SELECT_INT gp1, gp2, gp3, gp0, gp4", tensors=tensors, gp1=12, gp2=0, gp3=5, gp4=4)
    assert core.ints[12:17].tolist() == [10, 16, 12, 18, 26]


def test_integers_and_loops() -> None:
    text = """
        S_LUI_INT gp1, 2
        S_MUL_INT gp2, gp1, gp4
        S_SUB_INT gp2, gp2, gp4
        C_LOOP_START gp5, 3
        C_LOOP_START_R gp6, gp5
        S_ADDI_INT gp7, gp7, 1
        C_LOOP_END gp6
        C_LOOP_END gp5
        C_LOOP_START_R gp8, gp0
        S_ADDI_INT gp7, gp7, 100
        C_LOOP_END gp8
        S_ST_INT gp7, gp4, 2
        S_LD_INT gp9, gp0, 5
        C_BREAK
        S_ADDI_INT gp7, gp7, 100
    """
    gp = core_after(text, gp4=3).gp
    assert [gp[register] for register in (1, 2, 5, 6, 7, 8, 9)] == [8192, 3 * 8192 - 3, 0, 0, 6, 0, 6]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("S_SUB_INT gp1, gp0, gp4", ProgramFault, "result -3; expected 0..2\\^32-1"),
        ("C_SET_V_SEG gp4", ProgramFault, "segments of 3 lanes; expected a divisor of 64"),
        ("C_SET_M_ROWS gp0", ProgramFault, "0 tile rows; expected 1..8"),
        ("C_SET_V_ROWS gp0, gp0, gp0", ProgramFault, "0 rows; expected at least 1"),
        ("V_EXP_V gp4, gp0", MemoryFault, "Vector SRAM address 3; expected a multiple of VLEN = 64"),
        ("S_MAP_V_FP gp0, gp0, 0, gp2", ProgramFault, "length 256; expected 1..64"),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        core_after(text, tensors={"vectors": DATA, "fp_mem": FP}, **REGISTERS)
