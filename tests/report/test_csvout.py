from __future__ import annotations

import csv
import io
from pathlib import Path

from archsim.report.csvout import tables, write
from tests.report.sample import CYCLES, sample


def rows(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(tables(sample())[name])))


def test_units_add_up_and_own_counters_have_a_column() -> None:
    for row in rows("units.csv"):
        assert sum(int(value) for name, value in row.items() if name.endswith("_cycles")) == CYCLES
    assert [row["read_bytes"] for row in rows("units.csv")] == ["", "", "2000000000", "", "", ""]


def test_other_tables_have_one_row_a_record() -> None:
    assert rows("opcodes.csv")[1] == {"mnemonic": "V_EXP_V", "count": "7", "busy_cycles": "14"}
    assert rows("links.csv")[0] == {"source": "hbm0", "target": "r0", "bytes": "64", "busy_ps": "1000000000"}
    assert [row["time_ps"] for row in rows("phases.csv")] == ["1200000000", "800000000", "600000000", "400000000"]


def test_summary_has_a_unit_for_each_figure() -> None:
    summary = {row["name"]: (row["value"], row["unit"]) for row in rows("summary.csv")}
    assert summary["time"] == ("3000000000", "ps")
    assert summary["tokens_per_s"] == ("1000.0", "tokens/s")
    assert summary["hbm_row_hits"] == ("999", "accesses")
    assert summary["program_bound_hbm"] == ("2700000000", "ps")
    assert summary["hbm_bandwidth"] == ("682666666666", "bytes/s")


def test_files_are_written_into_a_new_folder(tmp_path: Path) -> None:
    write(sample(), tmp_path / "a" / "b")
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == [
        "links.csv", "opcodes.csv", "phases.csv", "summary.csv", "units.csv",
    ]  # fmt: skip
    assert (tmp_path / "a" / "b" / "links.csv").read_bytes() == tables(sample())["links.csv"].encode()
