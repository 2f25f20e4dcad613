"""Asymmetric groups: hand-checked codes, error bound, degenerate groups, axis."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from archsim.isa.semantics.asymmetric import dequantise_asymmetric, quantise_asymmetric


def test_worked_group() -> None:
    groups = quantise_asymmetric(np.array([2.0, 32.0, 16.0, 3.0]), group=4)
    assert groups.codes.tolist() == [0, 15, 7, 0]  # steps of 2; 7.0 is exact, 0.5 a tie to even
    assert (groups.scale.tolist(), groups.zero.tolist()) == ([2.0], [2.0])
    assert dequantise_asymmetric(groups, group=4).tolist() == [2.0, 32.0, 16.0, 2.0]


@given(st.lists(st.floats(-1000, 1000), min_size=8, max_size=8), st.integers(2, 8))
def test_error_is_at_most_half_a_step_and_the_rounding_of_scale_and_zero(values: list[float], bits: int) -> None:
    array = np.array(values)
    groups = quantise_asymmetric(array, bits=bits, group=8)
    error = np.abs(dequantise_asymmetric(groups, group=8) - array).max()
    step = np.ptp(array) / (2**bits - 1)
    assert error <= step / 2 + 2.0**-11 * (np.ptp(array) + np.abs(array).max()) + 2**bits * 2.0**-24


def test_equal_values_and_bad_values() -> None:
    groups = quantise_asymmetric(np.array([[5.0] * 32, [np.inf] + [1.0] * 31, [1e9] * 31 + [-1e9]]))
    back = dequantise_asymmetric(groups)
    assert (back[0] == 5.0).all()
    assert np.isnan(back[1]).all()
    assert np.isfinite(back[2]).all()


def test_axis() -> None:
    array = np.random.default_rng(0).standard_normal((2, 64, 3))
    groups = quantise_asymmetric(array, axis=1)
    assert groups.codes.shape == (2, 64, 3)
    assert groups.scale.shape == (2, 2, 3)
    turned = quantise_asymmetric(np.swapaxes(array, 1, 2))
    assert np.array_equal(
        dequantise_asymmetric(groups, axis=1), np.swapaxes(dequantise_asymmetric(turned), 1, 2)
    )


def test_the_last_group_may_be_short() -> None:
    array = np.random.default_rng(2).normal(size=(3, 40))
    groups = quantise_asymmetric(array)
    assert (groups.codes.shape, groups.scale.shape) == ((3, 40), (3, 2))
    filled = np.concatenate([array, *3 * [array[:, 32:]]], axis=1)
    whole = dequantise_asymmetric(quantise_asymmetric(filled))
    assert np.array_equal(dequantise_asymmetric(groups), whole[:, :40])
