"""Values from files and into files, and what is said about those that do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from archsim.cli import main
from archsim.isa.trace import write_program
from archsim.machine import dump_machine
from tests.system.small import VLEN, integers, machine, program

ROWS = integers(gp1=VLEN, gp2=1) + "C_SET_H_ROWS gp2, gp0, gp0\n"
DOUBLE = ROWS + "H_PREFETCH_V gp0, gp0, a0, 0, 2\nV_ADD_VV gp1, gp0, gp0\nH_STORE_V gp1, gp1, a0, 0, 6\n"
REGIONS = (
    {"name": "x", "base": 0, "bytes": 2 * VLEN},
    {"name": "y", "base": 4 * VLEN, "bytes": 4 * VLEN},
    {"name": "w.scales", "base": 4096, "bytes": 8},
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small.toml").write_text(dump_machine(machine()))
    return tmp_path


def bf16(values: np.ndarray) -> np.ndarray:
    """BF16 bytes of numbers that BF16 has."""
    return (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)


def execute(folder: Path, text: str, *options: str, **tensors: np.ndarray) -> int:
    formats = {"weights": "bf16"}
    write_program(program(text, regions=REGIONS, int_mem=((7, 8),), formats=formats), folder / "x.trace")
    np.savez(folder / "init.npz", **tensors)
    files = ["--values", str(folder / "init.npz"), "--dump", str(folder / "out.npz")]
    return main(["run", str(folder / "x.trace"), "--machine", str(folder / "small.toml"), *files, *options])


@pytest.mark.parametrize("options", [(), ("--functional-only",), ("--issue", "serial"), ("--acts", "fp32")])
def test_tensors_go_through_a_run(folder: Path, options: tuple[str, ...], capsys) -> None:
    x = np.arange(VLEN, dtype=np.float32) - 20
    assert execute(folder, DOUBLE, *options, x=bf16(x)) == 0
    out = np.load(folder / "out.npz")
    assert np.array_equal(out["y"].view(np.float32), 2 * x)
    assert np.array_equal(out["core0.vectors"], [x, 2 * x])
    assert out["core0.int_mem"][:3].tolist() == [7, 8, 0]
    assert out["core0.gp"][:3].tolist() == [0, VLEN, 1]
    printed = capsys.readouterr().out
    assert printed == "6 instructions executed\n" if options == ("--functional-only",) else "cycles" in printed


def test_a_dump_loads_again(folder: Path) -> None:
    x = np.arange(VLEN, dtype=np.float32)
    assert execute(folder, DOUBLE, x=bf16(x)) == 0
    first = dict(np.load(folder / "out.npz"))
    again = {name: data for name, data in first.items() if not name.endswith((".gp", ".f"))}
    assert execute(folder, "V_ADD_VV gp0, gp0, gp0\n", **again) == 0
    assert np.array_equal(np.load(folder / "out.npz")["core0.vectors"][0], 2 * x)


def test_words_and_vectors_may_begin_anywhere(folder: Path) -> None:
    tensors = {
        "int_mem+1": np.array([5, 6]),
        "fp_mem+2": np.array([0.5]),
        "core0.vectors+3": np.ones((1, VLEN)),
        "y+4": np.zeros(4, np.uint8),
        "hbm@8192": np.array([1.5], np.float32),
    }
    assert execute(folder, "S_LD_INT gp1, gp0, 2\nS_LD_FP f1, gp0, 2\n", "--functional-only", **tensors) == 0
    out = np.load(folder / "out.npz")
    assert out["core0.int_mem"][:4].tolist() == [7, 5, 6, 0]
    assert out["core0.gp"][1] == 6
    assert out["core0.f"][1] == 0.5
    assert np.array_equal(out["core0.vectors"][3], np.ones(VLEN))
    assert np.isnan(out["core0.vectors"][:3]).all()


NOT_A_NUMBER = np.array([[0.0] * (VLEN - 1) + [np.nan]])
BAD_TENSORS = {
    "no such place": ({"z": np.zeros(3, np.uint8)}, "tensor z: no such place; expected one of x, y, w.scales"),
    "no such core": ({"core7.int_mem": np.zeros(3, np.int64)}, "tensor core7.int_mem: no such place"),
    "too long": ({"x": np.zeros(129, np.uint8)}, "tensor x: 129 B; expected at most 128 B"),
    "behind the end": ({"x+120": np.zeros(9, np.uint8)}, "tensor x+120: 9 B; expected at most 8 B"),
    "shape": ({"vectors": np.zeros((2, 32))}, "tensor vectors: shape (2, 32); expected (up to 196608, 64)"),
    "dimensions": ({"int_mem": np.zeros((2, 2), np.int64)}, "tensor int_mem: shape (2, 2); expected (up to 16384,)"),
    "type": ({"x": np.zeros(3)}, "tensor x: type float64; expected uint8 bytes, float32 or bfloat16 numbers"),
    "reals as integers": ({"int_mem": np.zeros(3)}, "tensor int_mem: type float64; expected integers"),
    "integers as reals": ({"fp_mem": np.zeros(3, np.int64)}, "tensor fp_mem: type int64; expected floating-point"),
    "wide word": ({"int_mem": np.array([1 << 32])}, "tensor int_mem: a word outside 0..2^32-1"),
    "negative word": ({"int_mem": np.array([-1])}, "tensor int_mem: a word outside 0..2^32-1"),
    "NaN in a vector": ({"vectors": NOT_A_NUMBER}, "tensor vectors: element [0, 63] is NaN; expected numbers"),
    "NaN in HBM": ({"x": np.array([0, np.nan], np.float32)}, "tensor x: element [1] is NaN; expected numbers"),
    "NaN as a scale": ({"w.scales": np.array([1, 255], np.uint8)}, "tensor w.scales: scale 1 is 0xFF, NaN"),
}


@pytest.mark.parametrize("case", BAD_TENSORS)
def test_a_tensor_that_does_not_fit_is_refused_by_name(folder: Path, case: str, capsys) -> None:
    tensors, message = BAD_TENSORS[case]
    assert execute(folder, "C_BREAK\n", **tensors) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"archsim: {message}")
    assert said.count("\n") == 1


ZEROS = {"vectors": np.zeros((4, VLEN), np.float32)}
# Programs stand below the two lines of a trace's header.
FAULTS = {
    "HBM": (
        DOUBLE,
        {"x": np.zeros(100, np.uint8)},
        "instruction 3 (H_PREFETCH_V, line 6): reads HBM at byte 100, in tensor x, which nothing has written",
    ),
    "vector": (
        integers(gp1=VLEN) + "V_ADD_VV gp0, gp0, gp1\n",
        {"vectors": np.zeros((1, VLEN))},
        "instruction 1 (V_ADD_VV, line 4): reads Vector SRAM",
    ),
    "tile": ("M_MM gp0, gp0\n", ZEROS, "instruction 0 (M_MM, line 3): reads Matrix SRAM"),
    "weight tile": (
        "H_PREFETCH_M gp0, gp0, a0\n",
        {"x": np.zeros(16, np.uint8)},
        "instruction 0 (H_PREFETCH_M, line 3): reads HBM at byte 16, in tensor x, which nothing has written",
    ),
    "FP_MEM": ("S_LD_FP f1, gp0, 5\n", {}, "instruction 0 (S_LD_FP, line 3): reads FP_MEM[5], which nothing"),
    "slot": ("K_FOLD gp0, gp0, gp0\n", ZEROS, "instruction 0 (K_FOLD, line 3): reads KV scale slot 0, which nothing"),
}


NAN = 0x7FC1
"""A NaN in BF16; bytes are not looked at before they are read."""
NANS = {
    "weights": (
        "H_PREFETCH_M gp0, gp0, a0\n",
        "instruction 0 (H_PREFETCH_M, line 3): NaN in HBM at byte 16, in tensor x; expected numbers",
    ),
    "table": (
        ROWS + "H_GATHER_V gp0, gp0, a0\n",
        "instruction 3 (H_GATHER_V, line 6): NaN in HBM at byte 16, in tensor x; expected numbers",
    ),
}


@pytest.mark.parametrize("options", [(), ("--functional-only",)])
@pytest.mark.parametrize("case", NANS)
def test_a_nan_is_named_with_its_reader(folder: Path, case: str, options, capsys) -> None:
    text, message = NANS[case]
    words = np.zeros(1 << 14, np.uint16)
    words[8] = NAN
    tensors = {"hbm@0": words.view(np.uint8), "int_mem": np.zeros(2, np.int64)}
    assert execute(folder, text, *options, **tensors) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("options", [(), ("--functional-only",)])
@pytest.mark.parametrize("case", FAULTS)
def test_what_was_never_written_is_named_with_its_reader(folder: Path, case: str, options, capsys) -> None:
    text, tensors, message = FAULTS[case]
    assert execute(folder, text, *options, **tensors) == 1
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def beyond(text: str) -> str:
    """gp1: far beyond every memory but HBM; gp2: beyond HBM with 4-byte numbers."""
    return "S_LUI_INT gp1, 16384\nS_LUI_INT gp2, 262144\n" + text


@pytest.mark.parametrize(
    "text",
    [
        "V_EXP_V gp1, gp0",
        "V_EXP_V gp0, gp1",
        "M_MM gp1, gp0",
        "M_MM_WO gp1, gp0",
        "S_LD_FP f1, gp1",
        "S_ST_FP f1, gp1",
        "S_LD_INT gp3, gp1",
        "S_ST_INT gp3, gp1",
        "H_PREFETCH_V gp0, gp2, a0",
        "H_STORE_V gp0, gp2, a0",
        "H_PREFETCH_M gp1, gp0, a0",
        "K_CALIB gp0, gp1, 1",
        "V_RED_MAX_SEG gp1, gp0",
    ],
)
@pytest.mark.parametrize("options", [(), ("--functional-only",)])
def test_every_memory_has_an_end(folder: Path, text: str, options, capsys) -> None:
    tensors = {"vectors": np.zeros((16, VLEN)), "hbm@0": np.full(4096, 100, np.uint8)}
    assert execute(folder, beyond(text), *options, **tensors) == 1
    said = capsys.readouterr().err
    assert "instruction 2" in said
    assert "expected" in said
    assert said.count("\n") == 1


def test_a_file_that_is_none_is_refused(folder: Path, capsys) -> None:
    (folder / "bad.npz").write_text("nothing")
    write_program(program("C_BREAK"), folder / "x.trace")
    arguments = ["run", str(folder / "x.trace"), "--machine", str(folder / "small.toml"), "--values"]
    assert main([*arguments, str(folder / "bad.npz")]) == 2
    assert main([*arguments, str(folder / "missing.npz")]) == 2
    said = capsys.readouterr().err
    assert "expected an .npz file of arrays" in said
    assert said.count("\n") == 2


def test_replay_is_refused_with_values(folder: Path, capsys) -> None:
    assert execute(folder, "C_BREAK\n", "--replay", "on") == 2
    assert "replay: 'on'; expected off where values are computed" in capsys.readouterr().err

