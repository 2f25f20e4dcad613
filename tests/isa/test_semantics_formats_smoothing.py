"""KV smoothing: the definition by hand, exactness of the folds, edge rules, and the alternatives."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsim.errors import ConfigError
from archsim.isa.semantics.asymmetric import Groups
from archsim.isa.semantics.methods import METHODS, method_named
from archsim.isa.semantics.numbers import NUMBERS, element_values, quantise, round_trip
from archsim.isa.semantics.smoothing import (
    FLOOR,
    Scheme,
    bf16_up,
    calibrate,
    fold_output,
    fold_query,
    load,
    recover,
    rotate,
    store,
)

BAOS = Scheme(calibrated="warm")
G1 = attrs.evolve(BAOS, gain=1.0, exact=True)
VARIANTS = {
    "baos": BAOS,
    "centred": attrs.evolve(BAOS, centred=True),
    "power_of_two": attrs.evolve(BAOS, power_of_two=True),
    "sqrt": attrs.evolve(BAOS, exponent=0.5),
    "hadamard": METHODS["hadamard"].k,
    "all": attrs.evolve(BAOS, centred=True, rotated=True, power_of_two=True),
    "kivi": METHODS["kivi"].k,
}


def rows(count: int = 64, channels: int = 64, seed: int = 0, heads: int = 2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((heads, count, channels)) * np.exp(rng.standard_normal((heads, 1, channels)))


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def test_factors_by_hand() -> None:
    x = np.array([[1.0, -8.0, 0.0], [-4.0, 2.0, 0.0]])
    found = calibrate(x, attrs.evolve(G1, gain=2.0))
    assert found.peak.tolist() == [[4.0, 8.0, 0.0]]
    assert found.scale.tolist() == [[8.0, 16.0, 2.0 * FLOOR]]
    assert found.centre.tolist() == [[0.0, 0.0, 0.0]]
    centred = calibrate(x, attrs.evolve(G1, centred=True))
    assert centred.centre.tolist() == [[-1.5, -3.0, 0.0]]
    assert centred.peak.tolist() == [[2.5, 5.0, 0.0]]
    assert calibrate(x, attrs.evolve(G1, exponent=0.5)).scale[0, 0] == 2.0
    assert calibrate(x, attrs.evolve(BAOS, power_of_two=True)).scale.tolist() == [[8.0, 16.0, 2.0 * FLOOR]]
    assert calibrate(x, attrs.evolve(G1, power_of_two=True)).scale.tolist() == [[4.0, 8.0, FLOOR]]


def test_default_gain_puts_the_maximum_on_the_largest_code() -> None:
    x = np.linspace(-3.0, 3.0, 32)[None, :].repeat(2, axis=0)
    for gain, number, code in ((8 / 7, "mxint4", 7), (1.0, "mxint4_mase", 7)):
        scheme = attrs.evolve(BAOS, gain=gain, number=number)
        stored = store(x, scheme, calibrate(x, scheme))
        assert np.abs(stored.codes.codes[:, [0, -1]]).min() >= code


@given(st.floats(2.0**-100, 2.0**100))
def test_bf16_up_is_the_least_bf16_not_below(value: float) -> None:
    up = bf16_up(np.array([value]))
    code = quantise(up, NUMBERS["bf16"]).codes
    before = element_values(code - np.uint16(1), NUMBERS["bf16"])
    assert element_values(code, NUMBERS["bf16"])[0] == up[0]
    assert before[0] < value <= up[0]


def test_padding_is_left_out() -> None:
    x = rows()
    x[:, 40:] = 1e6
    valid = np.arange(64) < 40
    assert np.array_equal(calibrate(x, BAOS, valid).scale, calibrate(x[:, :40], BAOS).scale)
    assert (calibrate(x, BAOS, np.zeros(64, bool)).peak == 0).all()


def test_sequences_and_heads_never_share() -> None:
    x = rows()
    found = calibrate(x, BAOS)
    assert found.scale.shape == (2, 1, 64)
    assert np.array_equal(found.scale[1], calibrate(x[1], BAOS).scale)


@pytest.mark.parametrize("scheme", VARIANTS.values(), ids=VARIANTS)
def test_folded_attention_equals_attention_over_recovered_rows(scheme: Scheme) -> None:
    k, v, q = rows(seed=1), rows(seed=2), rows(8, seed=3)
    of_k, of_v = calibrate(k, scheme), calibrate(v, scheme)
    stored_k, stored_v = store(k, scheme, of_k), store(v, scheme, of_v)
    folded = softmax(fold_query(q, scheme, of_k) @ np.swapaxes(load(stored_k, scheme), -1, -2))
    plain = softmax(q @ np.swapaxes(recover(stored_k, scheme, of_k), -1, -2))
    assert np.allclose(folded, plain, atol=1e-12)
    output = fold_output(folded @ load(stored_v, scheme), scheme, of_v)
    assert np.allclose(output, plain @ recover(stored_v, scheme, of_v), atol=1e-11)


@pytest.mark.parametrize("scheme", VARIANTS.values(), ids=VARIANTS)
def test_eight_bits_recover_the_rows(scheme: Scheme) -> None:
    x = rows()
    fine = scheme if scheme.number == "int4_asymmetric" else attrs.evolve(scheme, number="mxint8")
    held = calibrate(x, fine)
    error = recover(store(x, fine, held), fine, held) - x
    ratio = (error**2).sum() / (x**2).sum()
    assert ratio < (0.02 if scheme.number == "int4_asymmetric" else 1e-3)


def test_refine_rows_use_the_factors_of_the_warm_step() -> None:
    warm, refine = rows(seed=1), 3 * rows(8, seed=2)
    held = calibrate(warm, BAOS)
    stored = store(refine, BAOS, held)
    assert np.array_equal(load(stored, BAOS), round_trip(refine / held.scale, NUMBERS["mxint4"]))


def test_rows_out_of_range_grow_their_block_and_are_counted() -> None:
    warm = np.full((1, 2, 64), 7 / 8)
    held = calibrate(warm, G1)
    refine = warm[:, :1].copy()
    refine[0, 0, 0] = 7.0
    stored = store(refine, G1, held)
    assert stored.exceeded.tolist() == [1]
    assert stored.codes.scales.tolist() == [[[127 + 3, 127]]]  # the first block grew, the second did not
    assert recover(stored, G1, held)[0, 0, 0] == 7.0
    clipped = attrs.evolve(G1, clipped=True)
    assert recover(store(refine, clipped, held), clipped, held)[0, 0, 0] == 7 / 8
    assert store(warm, G1, held).exceeded.tolist() == [0]


def test_bad_row_loses_its_block_and_nothing_else() -> None:
    x = rows()
    x[0, 3, 5] = np.nan
    x[0, 4, 6] = np.inf
    held = calibrate(x, BAOS)
    assert np.isfinite(held.scale).all()
    stored = store(x, BAOS, held)
    assert stored.invalid.tolist() == [2, 0]
    assert np.isnan(load(stored, BAOS)).sum() == 64


def test_zero_channels_survive() -> None:
    x = rows()
    x[..., :40] = 0.0
    held = calibrate(x, BAOS)
    back = recover(store(x, BAOS, held), BAOS, held)
    assert (held.scale[..., :40] == bf16_up(np.array([8 / 7 * FLOOR]))).all()
    assert (back[..., :40] == 0.0).all()


def test_one_power_of_two_for_all_channels_changes_nothing() -> None:
    """It commutes with the shared scale; what helps is that channels have different ones."""
    x = rows()
    assert np.array_equal(round_trip(x / 8, NUMBERS["mxint4"]) * 8, round_trip(x, NUMBERS["mxint4"]))
    scale = 2.0 ** np.arange(-3, 5).repeat(8)
    assert not np.array_equal(round_trip(x / scale, NUMBERS["mxint4"]) * scale, round_trip(x, NUMBERS["mxint4"]))


def test_smoothing_helps_against_channel_outliers() -> None:
    x = rows()
    x[..., 9] *= 30

    def error(scheme: Scheme) -> float:
        held = calibrate(x, scheme)
        rest = np.delete(recover(store(x, scheme, held), scheme, held) - x, 9, axis=-1)
        return float((rest**2).sum())

    assert error(BAOS) < error(METHODS["hadamard"].k) < error(METHODS["rtn"].k)


def test_hadamard_is_orthonormal_and_its_own_inverse() -> None:
    matrix = rotate(np.eye(128))
    assert np.allclose(np.abs(matrix), 1 / np.sqrt(128))
    assert np.allclose(matrix @ matrix.T, np.eye(128), atol=1e-12)
    assert np.allclose(rotate(rotate(rows())), rows(), atol=1e-12)
    with pytest.raises(ConfigError, match=r"hadamard: 96; expected a power of two"):
        rotate(np.zeros((2, 96)))


def test_kivi_groups_k_by_channel_and_v_by_token() -> None:
    x = rows()
    k, v = METHODS["kivi"].k, METHODS["kivi"].v
    shapes = []
    for scheme in (k, v):
        codes = store(x, scheme, calibrate(x, scheme)).codes
        assert isinstance(codes, Groups)
        shapes.append(codes.scale.shape)
    assert shapes == [(2, 2, 64), (2, 64, 2)]


def test_bits_per_element() -> None:
    expected = {"none": 16, "rtn": 4.25, "static": 4.25, "baos": 4.25, "hadamard": 4.25, "kivi": 5.0}
    assert {name: method.bits_per_element for name, method in METHODS.items()} == expected


def test_never_calibrated_is_the_plain_format() -> None:
    scheme, x = METHODS["rtn"].k, 100 * rows()
    held = calibrate(rows(), scheme)
    stored = store(x, scheme, held)
    assert np.array_equal(recover(stored, scheme, held), round_trip(x, NUMBERS["mxint4"]))
    assert not stored.exceeded.any()


def test_bad_requests() -> None:
    with pytest.raises(ConfigError, match=r"scheme.number: 'int3'; expected one of"):
        Scheme(number="int3")
    with pytest.raises(ConfigError, match=r"scheme.calibrated: 'often'; expected one of never, once"):
        Scheme(calibrated="often")
    with pytest.raises(ConfigError, match=r"KV method: 'boas'; expected one of none, rtn"):
        method_named("boas")
