"""`archsim compare`: which forwards stand for which, names, and the table's arithmetic."""

from __future__ import annotations

import json

import pytest

from archsim.cli import main
from workloads.compare import Row, chosen, records
from workloads.methods import build_method


@pytest.mark.parametrize("method", ["llada", "fast-dllm-dual", "autoregressive", "dkv-decode"])
def test_weights_cover_every_forward(method: str) -> None:
    forwards = list(build_method(method, 64, 64).forwards())
    picks = chosen(forwards, 4)
    assert sum(weight for _, weight in picks) == len(forwards)
    assert 1 <= len(picks) <= 4


def test_unknown_method_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "fast-dlm-dual"]) == 2
    assert "did you mean fast-dllm-dual?" in capsys.readouterr().err


def test_speedup_is_over_plain_llada() -> None:
    plain = Row(method="llada", model="m", forwards=4, simulated=1, tokens=4, time_ps=4000, hbm_bytes=8)
    fast = Row(method="x", model="m", forwards=2, simulated=1, tokens=4, time_ps=1000, hbm_bytes=4)
    broken = Row(method="y", model="m", error="no")
    speedups = [row.get("speedup") for row in records([plain, fast, broken])]
    assert speedups == [1.0, 4.0, None]


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--machine", "edge-256", "--layers", "1", "--prompt", "16", "--gen", "4"]
    assert main(["compare", *sizes, "--json", "-", "llada"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["method"], row["forwards"], row["simulated"] <= 4) for row in rows] == [
        ("llada", 4, True), ("autoregressive", 4, True)
    ]  # fmt: skip
    assert rows[0]["speedup"] == 1.0
