"""The flit-level network beside BookSim 2, and the command that runs it."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from archsim import cli
from archsim.errors import ArchsimError, ConfigError
from archsim.micro import noc, noc_oracle
from archsim.micro.noc_oracle import MESH4, MESH8, QUICK, Config, OracleRow, compare, read_oracle
from archsim.micro.validation import Row


def check(rows: Iterable[Row]) -> list[Row]:
    found = list(rows)
    assert [f"{row.what}: {row.ours}, theirs {row.theirs}" for row in found if not row.ok] == []
    return found


def test_a_selection_of_rows_against_booksim():
    found = check(noc_oracle.rows(full=False))
    assert len(found) == len(QUICK) + 1
    assert sum("saturation" in row.what for row in found) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("path", "held"), [(MESH4, 47), (MESH8, 16)], ids=["4x4", "8x8"])
def test_all_rows_against_booksim(path, held):
    assert sum(row.tolerance is not None for row in check(compare(read_oracle(path)))) == held


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
