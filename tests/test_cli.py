from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import archsim
from archsim import cli
from archsim.errors import AssemblyError, DeadlockError
from archsim.isa.opcodes import OPCODES
from archsim.isa.program import Header, PhaseInfo, Program
from tests.report.sample import sample

ROOT = Path(__file__).parents[1]


class Desk:
    """Stands in for machine, trace reader and simulator, and notes what it was asked for."""

    def __init__(self) -> None:
        self.header = Header()
        self.result = sample()
        self.fails: BaseException | None = None
        self.asked: dict[str, Any] = {}

    def read_program(self, path: str) -> Program:
        return Program(instructions=(), header=self.header, where=str(path))

    def load_machine(self, name: str) -> str:
        self.asked["machine"] = name
        return name

    def simulate(
        self, program: Program, params: str, *, issue: str | None, observers: Any, replay: bool, values: Any
    ) -> Any:
        self.asked["issue"] = issue
        self.asked["replay"] = replay
        assert values is None
        for observer in observers:
            observer.slice("core0.vector", "V_EXP_V", 0, 7, 0)
            observer.phase(0, 0, 0, 7)
        if self.fails:
            raise self.fails
        return self.result


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    desk = Desk()
    # Before the machine's module is replaced: looking the real function up loads it.
    monkeypatch.setattr(archsim, "simulate", desk.simulate)
    machine = SimpleNamespace(
        load_machine=desk.load_machine,
        dump_machine=lambda params: f'name = "{params}"\n',
        preset_names=lambda: ["dart-2048", "tiny"],
    )
    monkeypatch.setitem(sys.modules, "archsim.machine", machine)
    monkeypatch.setattr("archsim.isa.trace.read_program", desk.read_program)
    return desk


@pytest.mark.parametrize("argv", [["x.trace"], ["run", "x.trace"]])
def test_a_trace_alone_means_run(desk: Desk, argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(argv) == 0
    assert capsys.readouterr().out.startswith("llada-8b, schedule dual, on pair, issue overlap\n")
    assert desk.asked == {"machine": "dart-2048", "issue": None, "replay": True}


@pytest.mark.parametrize(
    ("requires", "options", "machine"),
    [
        ({}, [], "dart-2048"),
        ({"machine": "tiny"}, [], "tiny"),
        ({"machine": "tiny"}, ["--machine", "a.toml"], "a.toml"),
    ],
)
def test_the_machine_is_asked_for_or_the_traces_own(
    desk: Desk, requires: dict[str, object], options: list[str], machine: str
) -> None:
    desk.header = Header(requires=requires)
    assert cli.main([*options, "x.trace", "--issue", "serial", "--replay", "off"]) == 0
    assert desk.asked == {"machine": machine, "issue": "serial", "replay": False}


def test_json_to_stdout_is_json_alone(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["x.trace", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["time_ps"] == 3 * 10**9


def test_files_are_written_where_asked(desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    desk.header = Header(phases=(PhaseInfo("attention", "warm", "attention"),))
    argv = ["x.trace", "--json", str(tmp_path / "r.json"), "--csv", str(tmp_path / "csv")]
    assert cli.main([*argv, "--timeline", str(tmp_path / "t.json"), "-v"]) == 0
    assert json.loads((tmp_path / "r.json").read_text())["instructions"] == 123_456
    assert len(list((tmp_path / "csv").iterdir())) == 5
    names = [event["name"] for event in json.loads((tmp_path / "t.json").read_text())["traceEvents"]]
    assert "V_EXP_V" in names
    assert "warm 0" in names
    assert capsys.readouterr().err == ""


def test_an_interrupted_run_reports_what_it_has(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.result = sample(complete=False)
    assert cli.main(["x.trace"]) == 130
    assert capsys.readouterr().out.startswith("PARTIAL (interrupted at 3 ms of simulated time)\n")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (AssemblyError("x.asm", 3, 1, "unknown\nmnemonic"), 2, "x.asm:3:1: unknown mnemonic"),
        (DeadlockError([("core0.dma", "barrier 1", 70)]), 1, "deadlock: core0.dma waits for barrier 1 since 70 ps"),
        (FileNotFoundError(2, "No such file or directory", "x.trace"), 2, "x.trace: No such file or directory"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_an_error_is_one_line_and_a_code(
    desk: Desk, error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    desk.fails = error
    assert cli.main(["x.trace", "--timeline", str(tmp_path / "t.json")]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"archsim: {line}\n"
    assert json.loads((tmp_path / "t.json").read_text())["traceEvents"]


def test_a_bug_is_not_hidden(desk: Desk) -> None:
    desk.fails = ZeroDivisionError("a bug")
    with pytest.raises(ZeroDivisionError):
        cli.main(["x.trace"])


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["run"], "the following arguments are required: TRACE (see archsim run --help)"),
        (["x", "--speed"], "unrecognized arguments: --speed (see archsim --help)"),
        (["x", "--json", "no/where.json"], "--json no/where.json: there is no folder no"),
        (["x", "--timeline", "no/t.json"], "--timeline no/t.json: there is no folder no"),
        (["x", "--csv", __file__], f"--csv {__file__}: a file; expected a folder, or a name for a new one"),
        (["machine", "--dump"], "machine --dump: which one? expected a preset or a TOML file"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    desk: Desk, argv: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(argv) == 2
    assert capsys.readouterr().err == f"archsim: {line}\n"
    assert desk.asked == {}


@pytest.mark.parametrize(
    ("argv", "output"),
    [
        (["machine"], "dart-2048\ntiny\n"),
        (["machine", "tiny", "--dump"], 'name = "tiny"\n'),
        (["machine", "tiny"], 'name = "tiny"\n'),
    ],
)
def test_listings(desk: Desk, argv: list[str], output: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(argv) == 0
    assert capsys.readouterr().out == output


@pytest.mark.parametrize("options", [[], ["--binary"]])
def test_asm_and_disasm_undo_each_other(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, trace = tmp_path / "x.asm", tmp_path / "x.trace"
    source.write_text("S_ADDI_INT gp1, gp0, 0x10 ; sixteen\nM_MM 0, gp2, gp1\n")
    assert cli.main(["asm", str(source), "-o", str(trace), *options]) == 0
    assert cli.main(["disasm", str(trace)]) == 0
    assert capsys.readouterr().out == "S_ADDI_INT gp1, gp0, 16\nM_MM gp2, gp1\n"


def test_an_unknown_mnemonic_is_one_line_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "x.asm"
    source.write_text("V_EXPP_V gp1\n")
    assert cli.main(["asm", str(source), "-o", str(tmp_path / "x.trace")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"archsim: {source}:1:1: ")
    assert error.count("\n") == 1


def test_isa_lists_every_instruction(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["isa"]) == 0
    listing = capsys.readouterr().out.split()
    assert set(OPCODES) <= set(listing)


def test_without_arguments_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert capsys.readouterr().out.startswith("usage: archsim")


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from archsim.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(bool({'numpy', 'simpy', 'networkx', 'cattrs', 'attrs'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False).returncode == 0


def test_help_comes_at_once() -> None:
    def seconds(*argv: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, *argv], cwd=ROOT, capture_output=True, check=True)
        return time.perf_counter() - start

    bare = min(seconds("-c", "") for _ in range(3))
    assert min(seconds("-m", "archsim", "--help") for _ in range(3)) - bare < 0.2


def test_a_reader_that_leaves_early_is_no_error() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as broken:
        command = [sys.executable, "-m", "archsim", "isa"]
        done = subprocess.run(command, cwd=ROOT, stdout=broken, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 141
    assert done.stderr == b""
