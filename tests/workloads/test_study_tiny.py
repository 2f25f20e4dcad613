"""Studies on the tiny model: a few prompts each, and what their tables are made of."""

from __future__ import annotations

import itertools
import math

import attrs
import numpy as np
import pytest

import archsim
from workloads.__main__ import main as command_line
from workloads.study import tiny, tiny_kv
from workloads.study.jobs import in_order
from workloads.study.kv import study as synthetic_study
from workloads.study.methods import STUDIED
from workloads.study.synthetic import SCENARIOS
from workloads.study.tiny import (
    CHECKED,
    LOGITS,
    SAMPLERS,
    ULPS,
    Case,
    TokenRow,
    cases_of,
    prompts_and_answers,
    reference_run,
    sampling_study,
    token_check,
)
from workloads.study.tiny_kv import KvCell, KvTask, kv_bytes, kv_cell, kv_options, kv_study
from workloads.tiny.checkpoint import fold, load_checkpoint, random_checkpoint, with_outliers
from workloads.tiny.program import Run, numerics_of, run_program, tiny_program
from workloads.tiny.reference import FLOAT, Reference, generate
from workloads.tiny.tasks import ANSWER, MASK, PROMPT


@pytest.mark.parametrize(("scheme", "gain"), [("static", 1), ("hadamard", 1), ("rtn", 1), ("baos", 32), ("kivi", 32)])
def test_schemes_of_programs_are_those_of_the_reference(scheme: str, gain: int) -> None:
    """Untrained weights, whose largest logits are far apart, through a program with two warm steps."""
    checkpoint = with_outliers(random_checkpoint(2), gain=gain)
    ids = np.random.default_rng(1).integers(0, MASK, (3, PROMPT))
    options = kv_options(scheme)
    model = Reference(fold(checkpoint), numerics_of(options, "bf16"))
    wanted, _ = generate(model, ids, gen=ANSWER, block=8, steps=8, cache="dual")
    found = run_program(checkpoint, ids, Run(cache="dual", batch=3, steps=8), options, chip="bf16")
    assert found.tolist() == wanted.tolist()


def test_smoothing_saves_keys_with_outliers() -> None:
    prompts, answers = prompts_and_answers(8, 1)
    exact = {}
    for scheme in ("rtn", "baos"):
        model = Reference(fold(with_outliers(load_checkpoint())), numerics_of(kv_options(scheme), "bf16"))
        canvas, _ = generate(model, prompts, gen=ANSWER, block=8, steps=16, cache="dual")
        exact[scheme] = (canvas[:, PROMPT:] == answers).all(axis=1).mean()
    assert exact["baos"] > exact["rtn"] + 0.5


def test_bytes_of_a_cache() -> None:
    """4 layers x 128 channels x K and V x 32 positions, at 16, 4.25 and 5 bits; factors are 2 B a channel."""
    checkpoint = load_checkpoint()
    elements = 4 * 128 * 2 * 32
    assert kv_bytes(checkpoint, "none") == elements * 2
    assert kv_bytes(checkpoint, "rtn") == elements * 17 // 32
    assert kv_bytes(checkpoint, "baos") == elements * 17 // 32 + 4 * 128 * 2 * 2
    assert kv_bytes(checkpoint, "kivi") == elements * 5 // 8


def cell(scheme: str, **given: object) -> KvCell:
    """Of the trained model with a dual cache, one prompt."""
    asked = {"count": 1, "timed": False, "reference": False, **given}
    return kv_cell(KvTask(variant="trained", scheme=scheme, cache="dual", seed=0, **asked))


def test_a_rotation_costs_cycles_and_few_bits_save_them() -> None:
    rtn, turned, none = (cell(scheme, timed=True).cycles for scheme in ("rtn", "hadamard", "none"))
    assert rtn < turned < none


def test_a_cell_joins_the_timed_batch_and_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny_kv, "BATCH", 2)
    plain, timed = (cell("rtn", count=3, timed=timed, reference=True) for timed in (False, True))
    assert timed.cycles > 0
    assert timed == attrs.evolve(plain, cycles=timed.cycles)
    assert plain.exact == plain.reference == 1
    assert not plain.cases


def test_prompts_that_differ_are_cases() -> None:
    prompts, _ = prompts_and_answers(3, 0)
    wanted, choices = reference_run(load_checkpoint(), prompts, FLOAT, "dual")
    found = wanted.copy()
    found[1, -1] += 1
    (case,) = cases_of(found, wanted, choices, "fp32")
    assert case.prompt == 1
    assert case.gap == min(choice.gap[1][choice.masked[1]].min(initial=np.inf) for choice in choices)
    assert not case.tie


def test_static_scales_calibrate_once() -> None:
    """Two warm steps a program: half as many calibrations as with scales of every warm step."""
    counts = []
    for scheme in ("baos", "static"):
        program, _ = tiny_program(load_checkpoint(), Run(cache="dual", batch=1), kv_options(scheme), "tiny")
        counts.append(archsim.simulate(program, archsim.load_machine("tiny")).opcodes["K_CALIB"]["count"])
    assert counts[0] == 2 * counts[1] > 0


def test_ties_explain_cases() -> None:
    cases = (Case(prompt=0, gap=ULPS - 0.5), Case(prompt=2, gap=float(ULPS)))
    assert TokenRow(formats="x", cache="none", prompts=3, cases=cases).unexplained == 1


def test_logits_as_they_are_change_no_commit() -> None:
    rows = list(sampling_study(4, 2))
    assert [(row.chip, row.logits) for row in rows] == 3 * list(itertools.product(SAMPLERS, LOGITS))
    for row in rows:
        assert 0 < row.equal <= 1
        assert row.same_token > 0.9
        if (row.logits, row.chip) == ("fp32", "fp32"):
            assert row.equal == row.same_token == 1
    assert min(row.equal for row in rows) < 1


def test_results_keep_the_order_of_their_tasks() -> None:
    assert list(in_order(math.factorial, range(8, 0, -1), 3)) == [math.factorial(n) for n in range(8, 0, -1)]


def test_processes_change_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every study that takes --jobs, in this process and in three; of schemes, caches and formats one, to be quick."""
    monkeypatch.setattr(tiny_kv, "METHODS", {"rtn": tiny_kv.METHODS["rtn"]})
    for module in (tiny, tiny_kv):
        monkeypatch.setattr(module, "CACHES", ("dual",))
    for name in set(CHECKED) - {"fp32"}:
        monkeypatch.delitem(CHECKED, name)
    methods = {"rtn": STUDIED["rtn"]}
    studies = {
        "kv": lambda jobs: list(kv_study(1, 0, reference=True, jobs=jobs)),
        "tokens": lambda jobs: list(token_check(1, 0, jobs)),
        "sampling": lambda jobs: list(sampling_study(1, 0, jobs)),
        "kv-synthetic": lambda jobs: synthetic_study(SCENARIOS["A"], range(2), methods, jobs=jobs),
    }
    for name, study in studies.items():
        assert study(1) == study(3), name


def test_commands(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(CHECKED, "mxint8")
    monkeypatch.delitem(CHECKED, "bf16")
    assert command_line(["study", "tokens", "--prompts", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 held-out prompts, seed 0"
    assert len(lines) == 2 + 3 * len(CHECKED)
    assert all(line.split()[-3:] == ["2", "2", "0"] for line in lines[2:])
    assert command_line(["study", "kv", "--prompts", "0"]) == 2
    assert capsys.readouterr().err == "workloads: --prompts: 0; expected at least 1\n"
    assert command_line(["study", "kv", "--jobs", "0"]) == 2
    assert capsys.readouterr().err == "workloads: --jobs: 0; expected at least 1\n"


def test_the_table_of_schemes_lists_prompts_that_differ(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny_kv, "METHODS", {"baos": tiny_kv.METHODS["baos"]})
    case = Case(prompt=17, gap=2.5)
    monkeypatch.setattr(tiny_kv, "kv_cell", lambda task: KvCell(
        cache=task.cache, exact=0.5, cycles=3200 * task.timed, reference=1.0,
        cases=(case,) if task.cache == "dual" else ()))  # fmt: skip
    assert command_line(["study", "kv", "--prompts", "4", "--reference", "--jobs", "1"]) == 0
    _, heads, _, line, told, other, again = capsys.readouterr().out.splitlines()
    assert "  cycles a step, batch 4  " in heads
    assert heads.endswith("  reference exact %")
    assert line.split()[1:] == ["baos", "19456", *3 * ["50.0"], *3 * ["200"], *3 * ["100.0"]]
    assert told == "  cache dual, prompt 17: least distance of the two largest logits 2.50 ulps (a tie: below 4)"
    assert other.split()[2:] == line.split()[1:]
    assert again == told
