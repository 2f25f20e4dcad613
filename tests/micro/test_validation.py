"""The table that `archsim validate` prints, on rows of our own making."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest

from archsim.cli import command as cli
from archsim.micro import validation
from archsim.micro.validation import Row


def row(ours: float | None, theirs: float | None = 100.0, tolerance: float | None = 0.1, note: str = "") -> Row:
    return Row(unit="part", what="latency", theirs=theirs, ours=ours, tolerance=tolerance, note=note)


@pytest.mark.parametrize(
    ("found", "ok"),
    [
        (row(110.0), True),
        (row(90.0), True),
        (row(110.1), False),
        (row(89.9), False),
        (row(None), False),
        (row(1.0, theirs=None), False),
        (row(5.0, tolerance=None), True),
        (row(100, tolerance=0.0), True),
        (row(101, tolerance=0.0), False),
    ],
)
def test_a_figure_is_held_to_its_tolerance_on_both_sides(found: Row, ok: bool) -> None:
    assert found.ok is ok


def test_error_is_relative_to_theirs() -> None:
    assert row(90.0).error == pytest.approx(-0.1)
    assert row(None).error is None
    assert row(1.0, theirs=None).error is None
    assert row(1.0, theirs=0.0).error is None


def test_a_line_has_figures_error_tolerance_and_note() -> None:
    assert validation.line(row(123456.7, 120000, 0.025, "a longer run")).split() == [
        "part", "latency", "120,000", "123,457", "+2.88", "%", "2.5", "%", "OUTSIDE", "a", "longer", "run",
    ]  # fmt: skip
    assert validation.line(row(None, 16.46789, None)).split() == ["part", "latency", "16.468", "-", "-", "-"]


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Row]]:
    """Two parts; the second holds one more row when all are asked for."""
    held = {"one": [row(101.0)], "two": [row(99.0), row(50.0)]}

    def rows_of(name: str) -> SimpleNamespace:
        return SimpleNamespace(rows=lambda full: iter(held[name] if full else held[name][:1]))

    for name in held:
        monkeypatch.setitem(sys.modules, f"rows_of_{name}", rows_of(name))
    monkeypatch.setattr(cli, "_VALIDATIONS", {"one": ("rows_of_one",), "two": ("rows_of_two", "rows_of_one")})
    return held


@pytest.mark.parametrize(
    ("options", "count", "missed", "code"),
    [
        (["one"], 1, 0, 0),
        (["two"], 2, 0, 0),
        (["two", "--full"], 3, 1, 1),
        ([], 3, 0, 0),
        (["all", "--full"], 4, 1, 1),
    ],
)
def test_the_command_prints_the_parts_and_fails_where_a_figure_misses(
    parts: dict[str, list[Row]],
    options: list[str],
    count: int,
    missed: int,
    code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["validate", *options]) == code
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == count + 2
    assert lines[-1] == f"{missed} of {count} figures with a tolerance miss it"


def test_json_to_stdout_and_to_a_file(
    parts: dict[str, list[Row]], tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["validate", "two", "--full", "--json", "-"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [(item["ours"], item["ok"]) for item in found] == [(99.0, True), (50.0, False), (101.0, True)]
    assert cli.main(["validate", "one", "--json", f"{tmp_path}/rows.json"]) == 0
    assert "101" in capsys.readouterr().out
    with open(f"{tmp_path}/rows.json", encoding="utf-8") as file:
        assert json.load(file)[0]["error"] == pytest.approx(0.01)


def test_a_folder_that_is_not_there_is_found_out_before_the_measurement(
    parts: dict[str, list[Row]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["validate", "one", "--json", "/none/of/it.json"]) == 2
    assert capsys.readouterr() == ("", "archsim: --json /none/of/it.json: there is no folder /none/of\n")


def test_every_part_has_modules_that_exist() -> None:
    assert {"sampler", "noc"} <= set(cli._VALIDATIONS)
    for modules in cli._VALIDATIONS.values():
        assert all(callable(__import__(name, fromlist=["rows"]).rows) for name in modules)
