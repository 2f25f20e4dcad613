"""`archsim compare`: which forwards stand for which, names, the table's arithmetic, and the command."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from archsim.cli import main
from archsim.errors import WorkloadError
from workloads.compare.measure import Job, chosen, measure
from workloads.compare.rows import Row, records
from workloads.methods import build_method

SIZES = ["--machine", "dart-2048", "--layers", "1", "--prompt", "16", "--gen", "4"]


@pytest.mark.parametrize("method", ["llada", "fast-dllm-dual", "autoregressive", "dkv-decode"])
def test_weights_cover_every_forward(method: str) -> None:
    forwards = list(build_method(method, 64, 64).forwards())
    picks = chosen(forwards, 4)
    assert sum(weight for _, weight in picks) == len(forwards)
    assert 1 <= len(picks) <= 4


def test_every_kind_of_forward_is_simulated() -> None:
    """Few samples of many shapes still have one of the expensive forwards at the start of blocks."""
    forwards = list(build_method("fast-dllm-prefix", 64, 256).forwards())
    picks = chosen(forwards, 2)
    assert {forwards[index].kind: weight for index, weight in picks} == {
        kind: sum(forward.kind == kind for forward in forwards) for kind in ("warm", "refine")
    }


def test_unknown_method_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "fast-dlm-dual"]) == 2
    assert "did you mean fast-dllm-dual?" in capsys.readouterr().err


def test_speedup_is_over_plain_llada() -> None:
    plain = Row(method="llada", model="m", forwards=4, simulated=1, tokens=4, time_ps=4000, hbm_bytes=8)
    fast = Row(method="x", model="m", forwards=2, simulated=1, tokens=4, time_ps=1000, hbm_bytes=4)
    broken = Row(method="y", model="m", error="no")
    speedups = [row.get("speedup") for row in records([plain, fast, broken])]
    assert speedups == [1.0, 4.0, None]


def test_methods_take_the_options_of_their_schedule() -> None:
    params = build_method("fast-dllm-prefix:block=8,mean=2,as=implemented", 16, 16).params
    given = {"cache": "prefix", "block": 8, "mean": 2.0, "as": "implemented"}
    assert {key: params[key] for key in given} == given


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("llada:width=3", "'width=3'; expected OPTION=VALUE of prompt, gen, block"),
        ("llada:block", "'block'; expected int"),
        ("llada:block=few", "'block=few'; expected int"),
    ],
)
def test_methods_with_other_options_are_refused(text: str, found: str) -> None:
    with pytest.raises(WorkloadError, match=found):
        build_method(text, 16, 16)


def test_all_forwards_together_take_what_a_sample_says() -> None:
    """Forwards of one shape: simulating one, or all in one program, differs by what overlaps between them."""
    job = {"machine": "dart-2048", "model": "llada-8b", "method": "llada", "prompt": 16, "gen": 4, "layers": 1}
    whole, sampled = measure(Job(samples=0, **job)), measure(Job(samples=1, **job))
    assert (whole.simulated, sampled.simulated, whole.forwards) == (4, 1, 4)
    assert whole.time_ps != sampled.time_ps
    assert whole.time_ps == pytest.approx(sampled.time_ps, rel=0.02)
    assert whole.hbm_bytes == pytest.approx(sampled.hbm_bytes, rel=0.02)


def test_command_with_names_between_options(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    table, figure = tmp_path / "rows.csv", tmp_path / "rows.svg"
    options = ["--csv", str(table), "--figure", str(figure), "--samples", "2"]
    argv = ["compare", *SIZES, "llada", "--json", "-", "dkv-decode:block=4", *options, "dllm-cache:transfer-ratio=0"]
    assert main(argv) == 0
    out, told = capsys.readouterr()
    rows = json.loads(out)
    refused = "dllm-cache:transfer-ratio=0"
    assert [row["method"] for row in rows] == ["llada", "dkv-decode:block=4", refused, "autoregressive"]
    assert [row.get("simulated", 0) <= 2 for row in rows] == [True] * 4
    assert rows[0]["speedup"] == 1.0
    assert "error" in rows[2]
    assert sorted(line.split()[0] for line in told.splitlines()) == ["1/4", "2/4", "3/4", "4/4"]
    assert f"{refused}: refused" in told
    written = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert [row["method"] for row in written] == [row["method"] for row in rows]
    drawn = figure.read_text(encoding="utf-8")
    assert drawn.startswith("<?xml")
    assert len(drawn) > 5000


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--figure", "nowhere/rows.png"], "there is no folder nowhere"),
        (["--figure", "rows.gif"], "--figure rows.gif: .gif; expected .svg, .png, .pdf"),
        (["--csv", "."], "--csv .: a folder; expected a file"),
        (["--json", "nowhere/rows.json"], "there is no folder nowhere"),
        (["--samples", "0"], "--samples is 0; expected at least 1"),
        (["--samples", "2", "--whole"], "not allowed with"),
        (["--jobs", "0"], "--jobs is 0"),
        (["--weights", "int3"], "option weights: 'int3'"),
        (["--limitless"], "unrecognized arguments: --limitless"),
    ],
)
def test_what_cannot_be_is_refused_before_the_work(
    capsys: pytest.CaptureFixture[str], options: list[str], found: str
) -> None:
    assert main(["compare", *SIZES, "llada", *options]) == 2
    out, told = capsys.readouterr()
    assert found in told
    assert out == ""
    assert "forwards simulated" not in told


@pytest.mark.parametrize("argv", [["machine", "--foo"], ["isa", "more"], ["--foo"]])
def test_other_commands_still_refuse_what_they_do_not_know(
    capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    assert main(argv) == 2
    assert "archsim:" in capsys.readouterr().err
