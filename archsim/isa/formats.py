"""Number formats as storage: bits per element, elements per shared scale, bytes in HBM.

Element layouts follow the OCP Microscaling Formats (MX) specification v1.0 (2023): blocks of 32
elements share one 8-bit E8M0 scale. `int4_asymmetric` is KIVI's (Liu et al., ICML 2024): 32 elements share a scale
and a zero point, FP16 both. Only storage is modelled here, not values.
"""

from __future__ import annotations

import math

import attrs

from archsim.errors import ConfigError, TraceError


@attrs.frozen
class Format:
    """Storage of one number format: `bits` per element, `scale_size` bytes per `block` elements (0: none)."""

    name: str
    bits: int
    block: int
    code: int
    """Value of the precision operand that selects the format in H_* instructions."""
    scale_size: int = 1
    """Bytes of a block's scale, and of its zero point where it has one."""

    @property
    def asymmetric(self) -> bool:
        """Whether blocks have a zero point."""
        return self.scale_size > 1

    @property
    def cells(self) -> int:
        """Matrix SRAM cells per element; a cell stores a 4-bit code and its share of the scale."""
        return {4: 1, 8: 2, 16: 4, 32: 8}[self.bits]

    def code_bytes(self, elements: int) -> int:
        """Bytes of the element codes."""
        return -(-elements * self.bits // 8)

    def scale_bytes(self, elements: int) -> int:
        """Bytes of the shared scales, 0 where the format has none."""
        return -(-elements // self.block) * self.scale_size if self.block else 0

    def elements_in(self, nbytes: int) -> int:
        """Fewest elements whose codes, and whose scales, are whole multiples of `nbytes`."""
        codes = math.lcm(8 * nbytes, self.bits) // self.bits
        scales = math.lcm(nbytes, self.scale_size) // self.scale_size * self.block if self.block else 1
        return math.lcm(codes, scales)

    def total_bytes(self, elements: int) -> int:
        """Bytes of codes and scales together."""
        return self.code_bytes(elements) + self.scale_bytes(elements)


FORMATS: dict[str, Format] = {
    fmt.name: fmt
    for fmt in (
        Format("bf16", 16, 0, 2),
        Format("mxfp8", 8, 32, 3),
        Format("mxint8", 8, 32, 4),
        Format("mxint4", 4, 32, 5),
        Format("fp32", 32, 0, 6),
        Format("int4_asymmetric", 4, 32, 7, 4),
    )
}
"""Every format by name. Precision operands 0 and 1 mean the program's weight/activation and KV formats."""

BY_CODE: dict[int, Format] = {fmt.code: fmt for fmt in FORMATS.values()}

KV, KV_BY_CHANNEL = 1, 8
"""Precision operands of H_PREFETCH_M that mean a cache tile: scale blocks along its rows, or along its channels."""
BY_CHANNEL = 3
"""Scheme operand of K_STORE that lays scale blocks along channels."""


@attrs.frozen(kw_only=True)
class Formats:
    """The number formats a program's transfers use, by role."""

    weights: Format
    kv: Format
    activations: Format
    vector_hbm: Format

    def of(self, mnemonic: str, values: tuple[int, ...], place: str) -> Format:
        """Format of a transfer with these operands; raises TraceError, `place` saying where."""
        precision = values[-1]
        matrix = mnemonic == "H_PREFETCH_M"
        if mnemonic == "K_STORE" or precision == KV or (matrix and precision == KV_BY_CHANNEL):
            return self.kv
        if precision == 0:
            return self.weights if matrix else self.vector_hbm
        if precision not in BY_CODE:
            known = ", ".join(f"{code} {fmt.name}" for code, fmt in sorted(BY_CODE.items()))
            raise TraceError(f"{place}: precision {precision}; expected 0 default, 1 KV, {known}")
        return BY_CODE[precision]


def channel_groups(offset: int, rows: int, width: int, stride: int, fmt: Format) -> tuple[range, list[range]] | str:
    """Groups of `fmt.block` rows that a store by channels writes, and those of them that it replaces in part.

    `offset` is the first row's element, `width` a row's lanes, `stride` the elements from row to row (0: `width`).
    A text says what is wrong.
    """
    if not fmt.asymmetric:
        return f"scale blocks by channel in {fmt.name}; expected a format with zero points"
    if offset % width or stride > width:
        return f"element {offset}, {stride} elements from row to row; expected whole rows of {width} elements, no gaps"
    first, end = offset // width, offset // width + rows
    whole = range(first // fmt.block, -(-end // fmt.block))
    partial = [range(group, group + 1) for group in whole if group * fmt.block < first or (group + 1) * fmt.block > end]
    return whole, partial


def by_channel(mnemonic: str, values: tuple[int, ...]) -> bool:
    """Whether a transfer's scale blocks lie along channels: 32 rows of a cache tile share the scales of each lane."""
    return values[-1] == {"K_STORE": BY_CHANNEL, "H_PREFETCH_M": KV_BY_CHANNEL}.get(mnemonic, -1)


def format_named(name: str, path: str) -> Format:
    """Look a format up; raises ConfigError at `path` where the name is unknown."""
    if name not in FORMATS:
        raise ConfigError(path, name, "one of " + ", ".join(FORMATS))
    return FORMATS[name]
