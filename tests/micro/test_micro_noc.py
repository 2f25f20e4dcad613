"""The flit-level network beside BookSim 2, and the command that runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from archsim import cli
from archsim.errors import ArchsimError, ConfigError
from archsim.micro import noc, noc_oracle
from archsim.micro.noc_oracle import Comparison, Config, OracleRow, compare, read_oracle

DATA = Path(__file__).parents[1] / "data" / "oracles"
MESH4 = DATA / "booksim2_mesh_uniform_xy.csv"
MESH8 = DATA / "booksim2_mesh8_uniform_xy.csv"
FAST = {
    (4, 4, 1, 0.001), (4, 4, 1, 0.3), (4, 4, 4, 0.001), (4, 4, 4, 0.4), (4, 1, 1, 0.001), (4, 1, 1, 0.2),
    (4, 1, 4, 0.001), (4, 1, 4, 0.2), (4, 1, 4, 0.3), (4, 1, 4, 0.35), (8, 4, 1, 0.001), (8, 1, 4, 0.001),
}  # fmt: skip
"""(k, VCs, flits, rate) of the rows that every test run measures; one configuration's saturation is among them."""


def key(row: OracleRow) -> tuple[int, int, int, float]:
    return row.config.k, row.config.vcs, row.config.packet_flits, row.rate


def check(rows: list[OracleRow]) -> list[Comparison]:
    comparisons = compare(rows)
    missed = [f"{c.config} {c.what}: {c.ours}, theirs {c.theirs}" for c in comparisons if not c.holds]
    assert not missed
    return comparisons


def test_a_selection_of_rows_against_booksim():
    rows = [row for row in read_oracle(MESH4) + read_oracle(MESH8) if key(row) in FAST]
    assert len(rows) == len(FAST)
    comparisons = check(rows)
    assert sum(c.what == "saturation rate" for c in comparisons) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("path", "held"), [(MESH4, 47), (MESH8, 16)], ids=["4x4", "8x8"])
def test_all_rows_against_booksim(path, held):
    assert sum(c.tolerance is not None for c in check(read_oracle(path))) == held


def test_the_tables_hold_all_rows_of_the_record():
    rows = read_oracle(MESH4)
    assert len(rows) == 55
    assert sum(row.unstable for row in rows) == 4
    assert rows[1] == OracleRow(
        config=Config(k=4, vcs=4, buffer=8, packet_flits=1), rate=0.05, latency=16.0747, hops=3.50893, unstable=False
    )


def test_tolerances_by_load():
    config = Config(k=4, vcs=4, buffer=8, packet_flits=1)
    rates = (0.001, 0.6, 0.65)
    rows = [OracleRow(config=config, rate=rate, latency=16.0, hops=None, unstable=False) for rate in rates]
    assert [noc_oracle._tolerance(row, 0.775) for row in rows] == [0.01, 0.05, None]


def test_a_figure_that_misses_is_said_so():
    config = Config(k=4, vcs=1, buffer=8, packet_flits=1)
    near, far, none = (
        Comparison(config=config, what="latency at 0.1", theirs=10.0, ours=ours, tolerance=0.05)
        for ours in (10.4, 9.4, None)
    )
    assert [near.holds, far.holds, none.holds] == [True, False, False]
    assert "MISSED" in noc_oracle._line(far)
    assert "MISSED" not in noc_oracle._line(near)


def test_a_table_without_a_column_is_refused(tmp_path):
    path = tmp_path / "o.csv"
    path.write_text("# nothing\nk,num_vcs\n4,4\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="vc_buf_size"):
        read_oracle(path)


def test_the_command_prints_json(capsys):
    options = ["--topology", "ring:4", "--rate", "0.1", "--window", "200", "--seed", "5", "--json", "-"]
    code = cli.main(["micro", "noc", *options])
    result = json.loads(capsys.readouterr().out)
    assert code == 0
    assert {"packet_latency", "network_latency", "accepted", "hops", "saturated"} <= set(result)
    assert (result["topology"], result["seed"], result["saturated"]) == ("ring:4", 5, False)
    assert result["packet_latency"] == pytest.approx(4 * result["hops"] + 2, rel=0.05)


def test_the_command_prints_text_and_writes_a_file(tmp_path, capsys):
    path = tmp_path / "result.json"
    assert cli.main(["micro", "noc", "--window", "100", "--json", str(path)]) == 0
    assert "saturated                no" in capsys.readouterr().out
    assert json.loads(path.read_text(encoding="utf-8"))["accepted"] > 0


def test_the_command_compares_with_a_table(tmp_path):
    path = tmp_path / "o.csv"
    rows = [line for line in MESH4.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    path.write_text("\n".join(rows[:2]) + "\n", encoding="utf-8")
    text = noc.main(["--oracle", str(path)])
    assert "latency at 0.001" in text
    assert text.endswith("0 of 1 figures with a tolerance miss it\n")


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("mesh:2x3", ("mesh", 2, 3)),
        ("torus:4x4", ("torus", 4, 4)),
        ("ring:6", ("ring", 1, 6)),
        ("quad-mesh", ("mesh", 4, 4)),
    ],
)
def test_topologies_by_name(text, shape):
    noc_params = noc.parse_topology(text)
    assert (noc_params.topology, noc_params.rows, noc_params.cols) == shape


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--topology", "mesh:4"], "--topology: 'mesh:4'; expected mesh:RxC"),
        (["--topology", "mesh:0x4"], "rows: 0; expected"),
        (["--vcs", "0"], "vcs: 0; expected"),
        (["--rate", "2"], "rate: 2.0; expected"),
        (["--topology", "mesh:2x3", "--traffic", "transpose"], "square"),
        (["--frobnicate"], "--frobnicate"),
    ],
)
def test_bad_options_are_one_line(options, message):
    with pytest.raises(ArchsimError, match=message.replace("(", r"\(")):
        noc.main(options)


def test_bad_options_leave_the_command_with_2(capsys):
    assert cli.main(["micro", "noc", "--vcs", "0"]) == 2
    assert capsys.readouterr().err == "archsim: vcs: 0; expected a whole number above 0\n"
