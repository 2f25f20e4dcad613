"""The dot product of two MX vectors: how wide its integer sums are, and what the accumulator loses.

Within a block the products of elements are summed exactly. Blocks differ in their scales, so across blocks the
sums X_A * X_B * sum(P_A * P_B) are added one by one in a floating accumulator that rounds after each addition.
The specification leaves precision and order to the implementation (OCP MX v1.0); these are ours.
"""

from __future__ import annotations

import numpy as np

from archsim.errors import ConfigError
from archsim.isa.semantics.numbers import (
    BLOCK,
    NUMBERS,
    Blocks,
    Number,
    Reals,
    element_values,
    round_trip,
    scale_values,
)

ACCUMULATORS = ("fp32", "fp16", "bf16")
"""Accumulators that `block_dot` knows."""

_FP16 = Number(name="fp16", bits=16, element="float16", scaled=False)


def accumulator_bits(left: Number, right: Number, terms: int = BLOCK) -> int:
    """Bits, sign included, of a signed register that holds any sum of `terms` products of integer codes.

    Raises ConfigError for formats whose elements are not integers.
    """
    product = 1
    for number in (left, right):
        if number.element is not None:
            raise ConfigError("accumulator", number.name, "a format with integer elements")
        product *= max(-number.lowest, number.highest)
    return (terms * product).bit_length() + 1


def block_dot(
    left: tuple[Blocks, Number], right: tuple[Blocks, Number], accumulator: str = "fp32", block: int = BLOCK
) -> Reals:
    """Dot products along the last axis of two quantised arrays of one shape, blocked along that axis.

    Returns the shape without its last axis. A NaN scale makes the result NaN.
    Raises ConfigError for an unknown accumulator or lengths that are no whole number of blocks.
    """
    if accumulator not in ACCUMULATORS:
        raise ConfigError("accumulator", accumulator, "one of " + ", ".join(ACCUMULATORS))
    register = _FP16 if accumulator == "fp16" else NUMBERS[accumulator]
    parts = _block_sums(left, right, block)
    total = np.zeros(parts.shape[:-1])
    for index in range(parts.shape[-1]):
        total = round_trip(total + parts[..., index], register)
    return total


def _block_sums(left: tuple[Blocks, Number], right: tuple[Blocks, Number], block: int) -> Reals:
    products = np.ones(())
    scales = np.ones(())
    for blocks, number in (left, right):
        shape = blocks.codes.shape
        if shape[-1] % block:
            raise ConfigError("block dot product", shape[-1], f"a multiple of the block of {block} elements")
        elements = element_values(blocks.codes, number)
        products = products * elements.reshape(*shape[:-1], shape[-1] // block, block)
        scales = scales * scale_values(blocks.scales)
    sums: Reals = products.sum(axis=-1) * scales
    return sums
