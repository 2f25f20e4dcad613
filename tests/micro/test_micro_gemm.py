"""`archsim micro gemm` and the dense product as a program."""

from __future__ import annotations

import json

import attrs
import pytest

from archsim import load_machine, simulate
from archsim.errors import ArchsimError
from archsim.isa.timing.systolic import Gemm
from archsim.micro.gemm import main, sized
from archsim.micro.gemm_oracle import read_record, rows
from archsim.micro.gemm_program import gemm_program


def test_every_row_of_the_table_is_within_its_tolerance() -> None:
    table = list(rows(full=True))
    assert len(table) == len(read_record()) + 1
    assert [row.what for row in table if not row.ok] == []


def test_the_json_repeats_what_was_asked() -> None:
    words = ["--array", "32x16", "--dataflow", "os", "--m", "40", "--n", "20", "--k", "7", "--json", "-"]
    found = json.loads(main(words))
    assert (found["rows"], found["columns"], found["dataflow"]) == (32, 16, "os")
    assert found["cycles"] == 2 * 2 * (7 + 46) - 1
    assert found["utilisation"] == 40 * 20 * 7 / (32 * 16 * found["cycles"])


@pytest.mark.parametrize(("m", "n", "k"), [(128, 128, 128), (300, 384, 640), (1, 129, 1), (256, 640, 128)])
def test_a_program_does_the_whole_product(m: int, n: int, k: int) -> None:
    """Tile cycles and bytes are those of the padded sizes; X and W come once, Y goes once."""
    params = load_machine("gemm-128")
    gemm = Gemm(m=m, n=n, k=k)
    result = simulate(gemm_program(gemm, params), params)
    pm, pn, pk = (-(-size // 128) * 128 for size in (m, n, k))
    assert result.opcodes["M_MM"]["busy_cycles"] == pm * pn * pk // 128 // 128
    operands = 2 * (pm * pk + pk * pn)
    assert operands <= result.hbm["read_bytes"] <= operands + 64 * 1024
    assert result.hbm["write_bytes"] == 2 * pm * pn


def test_rows_that_do_not_fit_stream_the_weights_again() -> None:
    params = load_machine("gemm-128")
    small = attrs.evolve(params, vector_sram=attrs.evolve(params.vector_sram, capacity=1 << 20))
    gemm = Gemm(m=1024, n=256, k=512)
    once, again = (simulate(gemm_program(gemm, p), p).hbm["read_bytes"] for p in (params, small))
    weights = 2 * 256 * 512
    assert again - once >= weights
    assert (again - once) % weights < 4096


def test_replay_changes_nothing() -> None:
    params = load_machine("gemm-128")
    program = gemm_program(Gemm(m=1024, n=4096, k=4096), params)
    assert simulate(program, params, replay=True).cycles == simulate(program, params, replay=False).cycles


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--m", "1", "--n", "1", "--k", "0"], "k: 0; expected a positive integer"),
        (["--m", "1", "--n", "1", "--k", "1", "--array", "8"], "--array: '8'; expected RxC, such as 128x128"),
        (["--m", "1", "--n", "1", "--k", "1", "--mode", "core"], "expected a square one"),
        (["--m", "1", "--n", "1"], "--k"),
    ],
)
def test_what_makes_no_sense_is_refused(argv: list[str], message: str) -> None:
    with pytest.raises(ArchsimError, match=message.replace("(", r"\(")):
        main(argv)


def test_machines_of_another_shape_are_refused() -> None:
    with pytest.raises(ArchsimError, match="mlen = vlen = blen"):
        gemm_program(Gemm(m=1, n=1, k=1), load_machine("dart-2048"))
    assert sized(load_machine("gemm-128"), 64).core.blen == 64
