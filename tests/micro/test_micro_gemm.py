"""`archsim micro gemm` and the dense product as a program."""

from __future__ import annotations

import json

import attrs
import ml_dtypes
import numpy as np
import pytest

from archsim import load_machine, load_tensors, new_state, simulate
from archsim.errors import ArchsimError, ConfigError
from archsim.isa.timing.systolic import Gemm, SystolicArray
from archsim.micro.gemm import in_core, main, sized
from archsim.micro.gemm_oracle import read_record, rows
from archsim.micro.gemm_program import ALIGN, gemm_program


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
    """A tile takes its cycles whole; X and W come once, Y goes once, rows as they are and columns padded."""
    params = load_machine("gemm-128")
    gemm = Gemm(m=m, n=n, k=k)
    result = simulate(gemm_program(gemm, params), params)
    pm, pn, pk = (-(-size // 128) * 128 for size in (m, n, k))
    assert result.opcodes["M_MM"]["busy_cycles"] == pm * pn * pk // 128 // 128
    operands = 2 * (m * pk + pk * pn)
    assert operands <= result.hbm["read_bytes"] <= operands + 64 * 1024
    assert result.hbm["write_bytes"] == 2 * m * pn


def test_rows_that_do_not_fit_stream_the_weights_again() -> None:
    params = load_machine("gemm-128")
    small = attrs.evolve(params, vector_sram=attrs.evolve(params.vector_sram, capacity=1 << 20))
    gemm = Gemm(m=1024, n=256, k=512)
    once, again = (simulate(gemm_program(gemm, p), p).hbm["read_bytes"] for p in (params, small))
    weights = 2 * 256 * 512
    assert again - once >= weights
    assert (again - once) % weights < 4096


def test_replay_changes_the_phase_of_refresh_only() -> None:
    params = load_machine("gemm-128")
    program = gemm_program(Gemm(m=1024, n=4096, k=4096), params)
    exact, replayed = (simulate(program, params, replay=replay) for replay in (False, True))
    assert replayed.hbm["read_bytes"] == exact.hbm["read_bytes"]
    assert replayed.cycles == pytest.approx(exact.cycles, rel=1e-3)


@pytest.mark.parametrize("cores", [1, 3])
@pytest.mark.parametrize(("m", "n", "k"), [(40, 90, 300), (16, 96, 16), (3, 40, 70)])
def test_the_values_are_those_of_the_product(cores: int, m: int, n: int, k: int) -> None:
    """On arrays of 16 x 16 with room for two row tiles, so that 40 rows go in two chunks."""
    side = 16
    params = sized(load_machine("gemm-128"), side, cores)
    tiles = [-(-size // side) for size in (n, k)]
    room = 2 * side * side * 2 * (tiles[1] + 2)
    params = attrs.evolve(params, vector_sram=attrs.evolve(params.vector_sram, capacity=room))
    program = gemm_program(Gemm(m=m, n=n, k=k), params)
    pn, pk = (count * side for count in tiles)
    random = np.random.default_rng(0)
    x = np.zeros((m, pk), np.float32)
    w = np.zeros((pk, pn), np.float32)
    x[:, :k], w[:k, :n] = random.integers(-2, 3, (m, k)), random.integers(-2, 3, (k, n))
    heights = [range(first, min(m, first + side)) for first in range(0, m, side)]
    rows = [x[list(tile)].reshape(len(tile), -1, side).swapaxes(0, 1) for tile in heights]
    columns = w.reshape(tiles[1], side, tiles[0], side).transpose(2, 0, 3, 1)
    state = new_state(program, params)
    bf16 = ml_dtypes.bfloat16
    flat = np.concatenate([part.ravel() for part in rows]).astype(bf16)
    load_tensors(state, {"hbm@0": flat, f"hbm@{ALIGN}": columns.ravel().astype(bf16)})
    simulate(program, params, values=state)
    stored = state.hbm.read(2 * ALIGN, 2 * m * pn).view(bf16)
    expected = (x @ w).astype(bf16)
    done = 0
    for part in (expected[:side], expected[side:]):
        chunk = part.reshape(-1, tiles[0], side).swapaxes(0, 1)
        np.testing.assert_array_equal(stored[done : done + chunk.size].reshape(chunk.shape), chunk)
        done += chunk.size


def test_few_rows_wait_for_weights_and_not_for_hbm() -> None:
    """128 cycles of loading for each tile of W, whether one row or all of the array stream through it."""
    array = SystolicArray(rows=128, columns=128, double_buffer=True)
    loads = 16 * 16 * 128
    for m in (1, 32, 64):
        gemm = Gemm(m=m, n=2048, k=2048)
        plain, wide = (in_core(gemm, array, hbm=hbm)["cycles"] for hbm in (1, 4))
        assert loads < wide < plain < 1.05 * loads


def test_cores_share_the_columns() -> None:
    array = SystolicArray(rows=128, columns=128, double_buffer=True)
    gemm = Gemm(m=512, n=1024, k=512)
    one, four = (in_core(gemm, array, cores=cores, hbm=4) for cores in (1, 4))
    assert four["hbm_write_bytes"] == one["hbm_write_bytes"]
    assert 2 < one["cycles"] / four["cycles"] < 4
    with pytest.raises(ConfigError, match="column tiles of 128 that 3 cores share evenly"):
        in_core(gemm, array, cores=3)


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
