from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from archsim.report import stats
from archsim.report.jsonout import dumps, to_dict
from archsim.results import STALL_CAUSES
from tests.report.sample import CYCLES, sample, unit

ROOT = Path(__file__).parents[2]


def test_top_level_keys_are_exactly_these() -> None:
    assert list(to_dict(sample())) == [
        "format_version", "machine", "program", "schedule", "complete", "issue", "time_ps", "cycles",
        "instructions", "opcodes", "units", "hbm", "noc", "phases", "steps", "bounds", "tokens_per_s",
        "committed_tokens", "forwards", "notes",
    ]  # fmt: skip


def test_every_unit_names_every_cause_and_adds_up() -> None:
    units = to_dict(sample(units={"u": unit(5, extra={"moved_bytes": 7, "busy_cycles": 1})}))["units"]
    assert set(units["u"]["stall_cycles"]) == set(STALL_CAUSES)
    assert units["u"]["moved_bytes"] == 7
    assert units["u"]["busy_cycles"] == 5
    assert units["u"]["busy_cycles"] + units["u"]["idle_cycles"] + sum(units["u"]["stall_cycles"].values()) == CYCLES


def test_what_the_memory_does_not_model_is_null_not_zero() -> None:
    hbm = to_dict(sample(hbm={"read_bytes": 3, "write_bytes": 0}))["hbm"]
    assert hbm["row_hits"] is None
    assert hbm["refreshes"] is None
    assert hbm["bandwidth_bytes_per_s"] == 1000


def test_bounds_have_both_kinds_and_all_resources() -> None:
    found = to_dict(sample())
    names = ["compute_ps", "vector_ps", "hbm_ps", "noc_ps", "issue_ps"]
    assert [list(found["bounds"][kind]) for kind in ("ideal", "program")] == [names, names]
    assert found["steps"][1]["bounds"] == dict.fromkeys(("ideal", "program"), dict.fromkeys(names))


def test_text_is_sorted_ends_in_a_newline_and_reads_back() -> None:
    text = dumps(sample())
    assert text.endswith("}\n")
    assert json.loads(text) == to_dict(sample())
    assert list(json.loads(text)) == sorted(to_dict(sample()))


def test_bytes_do_not_depend_on_the_hash_seed() -> None:
    code = (
        "import sys; from archsim.report import csvout, jsonout, text; from tests.report.sample import sample;"
        "sys.stdout.write(jsonout.dumps(sample()) + text.render(sample()) + str(csvout.tables(sample())))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "77")
    }  # fmt: skip
    assert len(outputs) == 1


def test_every_key_is_in_the_dictionary() -> None:
    unexplained = [path for path in stats.key_paths(to_dict(sample())) if stats.explain(path) is None]
    assert unexplained == []


def test_every_row_of_the_dictionary_has_a_key() -> None:
    found = sample(hbm=sample().hbm | {"bursts": 1})
    paths = list(stats.key_paths(to_dict(found)))
    rows = {stats.explain(path) for path in paths}
    assert [row.key for row in stats.STATISTICS if row not in rows] == []


def test_an_unknown_key_is_not_explained() -> None:
    assert stats.explain(("hbm", "nested", "key")) is None
    assert stats.explain(("units", "core0.vector", "stall_cycles", "other")) is None
    assert stats.explain(("speed",)) is None


def test_the_page_is_the_dictionary() -> None:
    assert (ROOT / "docs" / "stats.md").read_text(encoding="utf-8") == stats.page()
