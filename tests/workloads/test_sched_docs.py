"""Examples and figures of docs/schedules.md."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.workloads.oracle_rows import column
from workloads.__main__ import main
from workloads.schedules import DinferBlockSchedule, FastDllmSchedule, build_schedule

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


@pytest.mark.parametrize("name", ["fast-dllm", "dparallel", "dinfer-block", "prophet"])
def test_profiles_commit_every_token(name: str) -> None:
    for seed in range(5):
        built = build_schedule(name, prompt=32, gen=96, seed=seed)
        forwards = list(built.forwards())
        assert sum(column(forwards, "committed")) == 96
        assert column(forwards, "index") == list(range(len(forwards)))
