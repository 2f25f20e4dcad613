"""Studies on the tiny model: a few prompts each, and what their tables are made of."""

from __future__ import annotations

import numpy as np
import pytest

import archsim
from workloads.__main__ import main as command_line
from workloads.study.tiny import (
    CHECKED,
    LOGITS,
    ULPS,
    TokenRow,
    cycles_per_step,
    kv_bytes,
    kv_options,
    prompts_and_answers,
    sampling_study,
)
from workloads.tiny.checkpoint import fold, load_checkpoint, random_checkpoint, with_outliers
from workloads.tiny.program import Run, numerics_of, run_program, tiny_program
from workloads.tiny.reference import Reference, generate
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


def test_a_rotation_costs_cycles_and_few_bits_save_them() -> None:
    rtn, turned, none = (cycles_per_step(kv_options(scheme), "dual") for scheme in ("rtn", "hadamard", "none"))
    assert rtn < turned < none


def test_static_scales_calibrate_once() -> None:
    """Two warm steps a program: half as many calibrations as with scales of every warm step."""
    counts = []
    for scheme in ("baos", "static"):
        program, _ = tiny_program(load_checkpoint(), Run(cache="dual", batch=1), kv_options(scheme), "tiny")
        counts.append(archsim.simulate(program, archsim.load_machine("tiny")).opcodes["K_CALIB"]["count"])
    assert counts[0] == 2 * counts[1] > 0


def test_ties_explain_cases() -> None:
    row = TokenRow(formats="x", cache="none", equal=1, prompts=3, cases=((0, ULPS - 0.5), (2, float(ULPS))))
    assert row.unexplained == 1


def test_logits_as_they_are_change_no_commit() -> None:
    rows = list(sampling_study(4, 2))
    assert [(row.logits, row.chip) for row in rows] == 3 * list(LOGITS)
    for row in rows:
        assert 0 < row.equal <= 1
        assert row.same_token > 0.9
        if (row.logits, row.chip) == ("fp32", "fp32"):
            assert row.equal == row.same_token == 1
    assert min(row.equal for row in rows) < 1


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
