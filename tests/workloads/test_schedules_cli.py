"""`python -m workloads list` and `schedule`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from workloads.__main__ import LOWER, main
from workloads.evidence import ABSTRACT_ONLY, CLOSED_FORM, CODE_READ, CODE_RUN, PAPER_READ
from workloads.schedules import SCHEDULES
from workloads.schedules.listing import schedule_rows
from workloads.schedules.options import flag

OPTIONS = {"cache": "dual", "prompt": 8, "gen": 16, "block": 8, "steps": 8, "batch": 1}
TOY = ["schedule", "llada", *(f"--{key}={value}" for key, value in OPTIONS.items())]


def test_json_on_standard_output() -> None:
    command = [sys.executable, "-m", "workloads", *TOY, "--json", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert [row["q_rows"] for row in json.loads(done.stdout)["forwards"]] == [24, 8, 8, 8] * 2
    assert done.stderr == ""


def test_json_to_a_file_with_window(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    assert main([*TOY, "--as", "implemented", "--forwards", "4:6", "--json", str(path)]) == 0
    rows = json.loads(path.read_text(encoding="utf-8"))["forwards"]
    assert [(row["q_rows"], row["head_rows"]) for row in rows] == [(24, 24), (8, 8)]


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(TOY) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("name=llada prompt=8 gen=16 block=8 steps=8 cache=dual")
    assert "q_rows       24 8x3 24 8x3" in lines
    assert "kind         warm refinex3 warm refinex3" in lines


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for word in ("llada-8b", "dream-7b", "llama-3-8b", "qwen2.5-7b", "autoregressive", "8.016 B"):
        assert word in out


@pytest.mark.parametrize("name", SCHEDULES)
def test_list_tells_kind_evidence_source_and_options(name: str) -> None:
    row = next(row for row in schedule_rows() if row["name"] == name)
    assert row["kind"] in ("core", "caching", "steps", "speculative")
    assert row["evidence"] in (CLOSED_FORM, CODE_RUN, CODE_READ, PAPER_READ, ABSTRACT_ONLY)
    assert row["source"]
    assert row["summary"]
    names = {flag(field.name) for field in attrs.fields(SCHEDULES[name])}
    assert {option["name"] for option in row["options"]} == names
    assert all(option["help"] for option in row["options"])


def test_list_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "schedules", "--json", "-"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert sorted(data) == ["no_inference_work", "schedules"]
    steps = {
        row["name"]: option["default"] for row in data["schedules"] for option in row["options"]
        if option["name"] == "steps"
    }
    assert (steps["llada"], steps["consistency"], steps["edlm"]) == ("gen", "gen/16", 128)
    assert [row["name"] for row in data["schedules"]] == list(SCHEDULES)
    assert main(["list", "models", "--json", "-"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["models"]}
    wanted = {"kind": "dllm", "parameters": 8015581184, "active_parameters": 8015581184, "layers": 32}
    assert rows["llada-8b"].items() >= wanted.items()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([*TOY, "--steps", "7"], "schedule llada: steps 7 over 2 blocks"),
        ([*TOY, "--forwards", "9"], "forwards 9:10: the schedule ends before"),
        ([*TOY, "--gen", "many"], "argument --gen: invalid int value: 'many' (see python -m workloads"),
        (["schedule", "autoregressive", "--prompt", "1", "--gen", "1", "--cache", "dual"], "schedule autoregressive: "),
        ([*TOY, "--json", "/no/such/folder/x"], "/no/such/folder/x: No such file or directory"),
        (["schedule"], "the following arguments are required: name"),
        (["list", "more"], "argument what: invalid choice: 'more'"),
    ],
)
def test_errors_are_one_line(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"workloads: {message}")
    assert captured.err.count("\n") == 1


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("usage:")
    assert main(["--help"]) == 0
    assert capsys.readouterr().out.startswith("usage:")


def test_anything_else_is_a_model_to_lower(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr("workloads.__main__.importlib.import_module", lambda name: Fake(name, seen))
    assert main(["llada-8b", "--schedule", "llada"]) == 7
    assert seen == [[LOWER[0], "llada-8b", "--schedule", "llada"]]


class Fake:
    """Stands in for a command's module and notes how it is called."""

    def __init__(self, name: str, seen: list[list[str]]) -> None:
        self.name, self.seen = name, seen

    def main(self, argv: list[str]) -> int:
        self.seen.append([self.name, *argv])
        return 7


def test_a_reader_that_goes_away_is_no_error() -> None:
    options = "--prompt 8 --gen 4096 --block 8 --steps 4096 --json -"
    command = f"{sys.executable} -m workloads schedule llada {options} | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("{\n", "")


def test_start_up_is_light() -> None:
    code = "import sys, workloads.cli; print([m for m in ('numpy', 'simpy', 'networkx') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
