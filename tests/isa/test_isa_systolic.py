"""Closed forms of systolic arrays against a fold-by-fold, wavefront-by-wavefront count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsim.errors import ConfigError
from archsim.isa.timing.systolic import Gemm, SystolicArray

SIZES = st.integers(1, 40)


def last_cycle(rows: int, columns: int, dataflow: str, gemm: Gemm) -> int:
    """Walk the folds: when the last partial sum of each leaves the array, ragged folds as long as whole ones."""
    down, across, streamed = {
        "ws": (gemm.k, gemm.n, gemm.m),
        "is": (gemm.k, gemm.m, gemm.n),
        "os": (gemm.m, gemm.n, gemm.k),
    }[dataflow]
    clock = 0
    for _ in range(0, down, rows):
        for _ in range(0, across, columns):
            if dataflow != "os":
                clock += rows  # the stationary operand moves in, a row a cycle
            entered = clock + streamed  # the last streamed element enters the first row and column
            clock = entered + (rows - 1) + (columns - 1)
    return max(1, clock - 1)


@given(st.sampled_from(["ws", "os", "is"]), SIZES, SIZES, SIZES, SIZES, SIZES)
def test_folds_follow_one_another(dataflow: str, rows: int, columns: int, m: int, n: int, k: int) -> None:
    gemm = Gemm(m=m, n=n, k=k)
    array = SystolicArray(rows=rows, columns=columns, dataflow=dataflow)
    assert array.cycles(gemm) == last_cycle(rows, columns, dataflow, gemm)
    assert 0 < array.utilisation(gemm) <= 1


@given(st.sampled_from(["ws", "is"]), SIZES, SIZES, SIZES)
def test_double_buffering_hides_the_shorter_of_load_and_stream(dataflow: str, m: int, n: int, k: int) -> None:
    gemm = Gemm(m=m, n=n, k=k)
    plain, double = (SystolicArray(rows=8, columns=8, dataflow=dataflow, double_buffer=on) for on in (False, True))
    streamed = m if dataflow == "ws" else n
    hidden = min(streamed, 8) + 14
    assert plain.cycles(gemm) - double.cycles(gemm) == (plain.folds(gemm) - 1) * hidden


def test_scalesims_measured_products() -> None:
    """SCALE-Sim v3.0.0, 128 x 128: 300 x 384 x 640 falls into ragged folds."""
    ragged = Gemm(m=300, n=384, k=640)
    assert SystolicArray(rows=128, columns=128).cycles(ragged) == 5 * 3 * (300 + 382) - 1
    assert SystolicArray(rows=128, columns=128, dataflow="os").cycles(ragged) == 3 * 3 * (640 + 254) - 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": 0, "columns": 8}, "array rows: 0; expected a positive integer"),
        ({"rows": 8, "columns": 8, "dataflow": "rs"}, "dataflow: 'rs'; expected one of ws, os, is"),
        ({"rows": 8, "columns": 8, "dataflow": "os", "double_buffer": True}, "double buffering: 'os'"),
    ],
)
def test_arrays_that_do_not_exist(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        SystolicArray(**options)  # type: ignore[arg-type]
