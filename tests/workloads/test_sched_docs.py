"""docs/schedules.md lists what there is, with its defaults, and its examples run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import attrs
import pytest

from tests.workloads.oracle_rows import column
from workloads.__main__ import main
from workloads.schedules import SCHEDULES, DinferBlockSchedule, FastDllmSchedule, build_schedule
from workloads.schedules.options import flag

PAGE = (Path(__file__).parents[2] / "docs" / "schedules.md").read_text(encoding="utf-8")
ROWS = {cells[0].strip("`"): cells for cells in (
    [cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| `")
) if len(cells) == 6}
UNLISTED = {"prompt", "gen", "as_", "commits", "counts", "mean", "seed"}


def test_every_schedule_has_its_row_in_order() -> None:
    assert list(ROWS) == list(SCHEDULES)


@pytest.mark.parametrize("name", SCHEDULES)
def test_parameters_and_their_defaults(name: str) -> None:
    told = ROWS[name][2]
    for field in attrs.fields(SCHEDULES[name]):
        if field.name not in UNLISTED:
            listed = re.search(rf"(?<![-\w]){flag(field.name)}(?![-\w])[^,]*", told)
            assert listed is not None, field.name
            given = re.search(r"\((.*)\)", listed[0])
            if given is not None and isinstance(field.default, int | float | str) and field.default != "":
                assert given[1] == f"{field.default:g}" if isinstance(field.default, float) else str(field.default)


@pytest.mark.parametrize("name", SCHEDULES)
def test_whether_a_program_can_be_made(name: str) -> None:
    unlowerable = SCHEDULES[name].unlowerable
    assert (ROWS[name][4] == "yes") == (unlowerable is None)


def test_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    examples = re.findall(r"^    python -m workloads (.*)$", PAGE, re.MULTILINE)
    assert len(examples) == 2
    for example in examples:
        assert main(shlex.split(example)) == 0


def test_published_means_are_listed() -> None:
    listed = [FastDllmSchedule(prompt=1, gen=32, cache="none", threshold=tau / 10) for tau in range(5, 11)]
    means = ", ".join(f"{float(built.published.mean):.2f}" for built in listed if built.published)
    assert means in PAGE
    block = [DinferBlockSchedule(prompt=1, gen=32, threshold=tau, block=size)
             for tau, size in ((0.95, 32), (0.85, 32), (0.95, 16))]
    assert "; ".join(f"{float(built.published.mean):.2f}" for built in block if built.published) in PAGE


@pytest.mark.parametrize("name", ["fast-dllm", "dparallel", "dinfer-block", "prophet"])
def test_profiles_commit_every_token(name: str) -> None:
    for seed in range(5):
        built = build_schedule(name, prompt=32, gen=96, seed=seed)
        forwards = list(built.forwards())
        assert sum(column(forwards, "committed")) == 96
        assert column(forwards, "index") == list(range(len(forwards)))
