"""Published speed-ups beside ours: what is run, and the arithmetic. The table itself takes minutes."""

from __future__ import annotations

import attrs
import pytest

from workloads.compare.measure import measure
from workloads.compare.rows import Row
from workloads.methods import build_method
from workloads.study.published import FIGURES, GPU, NPU, Published, as_coded, jobs, speed


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: f"{figure.name}, {figure.setting}")
@pytest.mark.parametrize("machine", [GPU, NPU])
def test_every_figure_names_methods_that_can_be_built(figure: Published, machine: str) -> None:
    for job in jobs(figure, machine, 4):
        schedule = build_method(job.method, job.prompt, job.gen)
        assert schedule.describe()["forwards"] > 0
        coded = figure.code and machine == GPU
        assert schedule.params.get("as", "implemented" if coded else "ideal") == ("implemented" if coded else "ideal")


def test_baselines_generate_as_many_tokens() -> None:
    for figure in FIGURES:
        tokens = {build_method(job.method, job.prompt, job.gen).describe()["tokens"] for job in jobs(figure, NPU, 4)}
        assert len(tokens) == 1, figure.name


def test_the_code_adds_its_option_behind_others() -> None:
    assert as_coded("llada") == "llada:as=implemented"
    assert as_coded("fast-dllm:cache=dual") == "fast-dllm:cache=dual,as=implemented"
    assert as_coded("autoregressive") == "autoregressive"


def test_host_time_comes_before_every_forward() -> None:
    row = Row(method="m", model="m", forwards=10, simulated=1, tokens=20, time_ps=10**12)
    assert speed(row) == 20.0
    assert speed(row, 100.0) == 10.0


def test_a_cache_gains_less_where_the_host_is_slow() -> None:
    method, base = (measure(attrs.evolve(job, layers=1, prompt=96, gen=32)) for job in jobs(FIGURES[0], GPU, 2))
    assert not method.error
    assert 1 < speed(method, 25.0) / speed(base, 25.0) < speed(method) / speed(base)
