"""Random lanes: the distribution, and that equal numbers give equal draws."""

from __future__ import annotations

import numpy as np

from archsim.isa.semantics.random import draws, hashed
from tests.isa.valued import core_after, rows
from tests.system.small import VLEN

REGISTERS = {"gp1": 0, "gp3": 3, "gp4": 3, "gp5": 1}


def test_the_hash_is_that_of_splitmix64() -> None:
    # Stream 0 starts from state 0; the first words of SplitMix64 with seed 0, as in its reference code.
    assert [hex(word) for word in hashed(0, 3)] == ["0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4", "0x6c45d188009454f"]


def test_draws_follow_the_standard_gumbel_distribution() -> None:
    values = np.sort(draws(12345, 100, 2048).ravel())
    exact = np.exp(-np.exp(-values))
    found = (np.arange(values.size) + 0.5) / values.size
    # Kolmogorov-Smirnov: the distance exceeds 1.95 / sqrt(n) once in a thousand.
    assert np.abs(exact - found).max() < 1.95 / np.sqrt(values.size)
    assert abs(values.mean() - np.euler_gamma) < 0.01
    assert abs(values.var() - np.pi**2 / 6) < 0.02


def test_streams_and_rows_are_independent() -> None:
    first, second = draws(7, 2, 4096), draws(8, 2, 4096)
    for a, b in ((first[0], first[1]), (first[0], second[0]), (first[1], second[0])):
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.06


def test_the_instruction_writes_its_rows_and_repeats_itself() -> None:
    text = "C_SET_V_ROWS gp4, gp5, gp5\nV_GUMBEL_V gp1, gp3"
    core = core_after(text, acts="fp32", tensors={"vectors": rows(4, 1)}, **REGISTERS)
    assert np.array_equal(core.vectors[:3], draws(3, 3, VLEN).astype(np.float32))
    assert np.array_equal(core.vectors[3], rows(4, 1)[3])
