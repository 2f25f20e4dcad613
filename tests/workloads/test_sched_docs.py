"""Examples and figures of docs/schedules.md."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import attrs
import pytest

from tests.workloads.oracle_rows import column
from tests.workloads.schedule_toys import toy
from workloads.__main__ import main
from workloads.forwards import Forward
from workloads.schedules import SCHEDULES, build_schedule
from workloads.schedules.dinfer_block import DinferBlockSchedule
from workloads.schedules.fast_dllm import FastDllmSchedule
from workloads.schedules.logged import Logged

PAGE = (Path(__file__).parents[2] / "docs" / "schedules.md").read_text(encoding="utf-8")


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


def test_every_published_mean_has_its_row() -> None:
    table = PAGE[PAGE.index("| schedule | options | mean |") :]
    listed = set(re.findall(r"^\| `([\w.-]+)` \|", table, re.MULTILINE))
    assert listed == {"fast-dllm", "dparallel", "dinfer-block", "llada2", "llada2.1", "dmax", "taps", "prophet"}
    for name, schedule in SCHEDULES.items():
        publishes = issubclass(schedule, Logged) and schedule.published is not Logged.published
        assert publishes == (name in listed), name


def test_columns_of_some_schedules_name_them() -> None:
    fields = attrs.fields_dict(Forward)
    forwards = {name: list(toy(name).forwards()) for name in SCHEDULES}
    section = PAGE[PAGE.index("| column | meaning |") : PAGE.index("Classifier-free guidance")]
    table = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|.*\| ([^|]*) \|$", section, re.MULTILINE)
    named = {key for columns, _ in table for key in re.findall(r"`(\w+)`", columns)}
    assert named == {name for name, field in fields.items() if field.default is not attrs.NOTHING} - {"committing"}
    for columns, names in table:
        for key in re.findall(r"`(\w+)`", columns):
            default = fields[key].default
            users = {name for name, rows in forwards.items() if any(value != default for value in column(rows, key))}
            assert users <= set(re.findall(r"`([\w.-]+)`", names)), key


@pytest.mark.parametrize("name", ["fast-dllm", "dparallel", "dinfer-block", "prophet"])
def test_profiles_commit_every_token(name: str) -> None:
    for seed in range(5):
        built = build_schedule(name, prompt=32, gen=96, seed=seed)
        forwards = list(built.forwards())
        assert sum(column(forwards, "committed")) == 96
        assert column(forwards, "index") == list(range(len(forwards)))
