"""Commit logs, counts on the command line, and what says where counts come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import attrs
import pytest

from archsim.errors import WorkloadError
from workloads.__main__ import main
from workloads.forwards import require_lowerable, schedule_json
from workloads.schedules import FastDllmSchedule, LladaSchedule
from workloads.schedules.commits import Count, parse_counts, read_log

TOY = ["schedule", "fast-dllm", "--prompt", "8", "--gen", "16", "--block", "8"]


def test_counts_text() -> None:
    assert parse_counts("3, 1x2 3/1 2+", "x") == [Count(3), Count(1), Count(1), Count(3, 1), Count(2, 0, True)]
    assert parse_counts("2+8 2-16x2", "x") == [Count(2, resized=8), *[Count(2, resized=-16)] * 2]


def test_log_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text('3\n\n{"committed": 2, "earlier": 1, "expanded": true, "positions": [1, 2]}\n', encoding="utf-8")
    assert read_log(str(path)) == [Count(3), Count(2, 1, True)]
    path.write_text('{"committed": 2, "resized": -8}', encoding="utf-8")
    assert read_log(str(path)) == [Count(2, resized=-8)]


@pytest.mark.parametrize("line", ["{", "[1]", "true", "1.5", '{"committed": "3"}', '{"committed": 1, "earlier": 2}'])
def test_bad_log_lines_are_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "log"
    path.write_text(f"1\n{line}\n", encoding="utf-8")
    with pytest.raises(WorkloadError, match=f"{path} line 2: .*expected a count or"):
        read_log(str(path))


def test_missing_log_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TOY, "--commits", "/no/such/log"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_log_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log"
    path.write_text("3\n1\n4\n8\n", encoding="utf-8")
    assert main([*TOY, "--commits", str(path), "--json", "-"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [row["committed"] for row in data["forwards"]] == [3, 1, 4, 8]
    assert [row["q_rows"] for row in data["forwards"]] == [24, 8, 8, 24]
    assert data["schedule"]["commit_source"] == f"log {path}"


def test_header_says_where_counts_come_from() -> None:
    built = FastDllmSchedule(prompt=8, gen=16, block=8, counts="8 8")
    assert schedule_json(built)["schedule"]["commit_source"] == built.describe()["commit_source"] == "counts given"
    assert "commit_source" not in LladaSchedule(prompt=8, gen=16).describe()


@attrs.frozen(kw_only=True)
class Unlowerable(LladaSchedule):
    """A schedule that no program can run."""

    unlowerable: ClassVar[str | None] = "rows stand on their heads"


def test_only_forwards_that_programs_can_run_are_lowered() -> None:
    require_lowerable(LladaSchedule(prompt=8, gen=16))
    require_lowerable(FastDllmSchedule(prompt=8, gen=32))
    with pytest.raises(WorkloadError) as caught:
        require_lowerable(Unlowerable(prompt=8, gen=32))
    assert str(caught.value).startswith("schedule llada: rows stand on their heads; ")
    assert str(caught.value).endswith("expected one that a program can run")
