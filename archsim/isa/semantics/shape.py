"""What values need to know of a machine and a program: sizes, number formats, roundings."""

from __future__ import annotations

from typing import Any, NamedTuple

import attrs
import numpy as np
import numpy.typing as npt

from archsim.errors import ConfigError
from archsim.isa.formats import Format, Formats
from archsim.isa.semantics.numbers import BLOCK, NUMBERS
from archsim.isa.semantics.rounding import ROUNDINGS

ACTS = ("bf16", "fp32")
"""What Vector SRAM, FP_MEM and f registers may hold."""


@attrs.frozen(kw_only=True)
class Shape:
    """Sizes in elements, cells or words; formats of a program's transfers by role.

    `acts` is the format of on-chip reals, `accumulator` what the tensor core adds block sums in.
    Raises ConfigError for an unknown `acts`.
    """

    mlen: int
    vlen: int
    blen: int
    hlen: int
    vectors: int
    """Vectors of Vector SRAM."""
    matrix_cells: int
    fp_words: int
    int_words: int
    slots: int
    hbm_bytes: int
    cores: int
    prefetch_v_rows: int
    store_v_rows: int
    formats: Formats
    accumulator: str
    acts: str

    def __attrs_post_init__(self) -> None:
        if self.acts not in ACTS:
            raise ConfigError("acts", self.acts, "one of " + ", ".join(ACTS))
        assert self.accumulator in ROUNDINGS

    @property
    def tile_weight(self) -> int:
        """Cells of a weight tile."""
        return self.mlen * self.blen * self.formats.weights.cells

    @property
    def tile_kv(self) -> int:
        """Cells of a key or value tile."""
        return self.mlen * self.hlen * self.formats.kv.cells


class Products(NamedTuple):
    """How the terms of a product are summed before the accumulator: `block` at a time (0: all), in `dtype`."""

    block: int
    dtype: type[np.float32] | type[np.float64]

    def cut(self, values: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        """(..., terms) as (sums, ..., terms of a sum); zeros fill the last one."""
        if not self.block:
            return values.astype(self.dtype)[None]
        short = -values.shape[-1] % self.block
        if short:
            values = np.concatenate([values, np.zeros((*values.shape[:-1], short), np.float32)], axis=-1)
        blocks = values.reshape(*values.shape[:-1], -1, self.block)
        return np.moveaxis(blocks, -2, 0).astype(self.dtype)


def products(left: Format, right: Format) -> Products:
    """Sums of products of two formats: a scale block at a time where one has scales.

    Those of integer codes are exact in float32: 32 products of 8 x 8 bits need 20 bits.
    """
    if not (left.block or right.block):
        return Products(0, np.float64)
    integers = all(fmt.block == BLOCK and not fmt.asymmetric and not NUMBERS[fmt.name].element for fmt in (left, right))
    return Products(BLOCK, np.float32 if integers else np.float64)


class Sticky(NamedTuple):
    """What C_SET_* instructions have set; never changed in place, so that holding it remembers it."""

    segment: int
    m_rows: int
    scale: int = 0
    stride: int = 0
    mask: int = 0xFFFFFFFF
    v_rows: int = 1
    v_stride: int = 1
    v_stride2: int = 1
    lanes: int = 0
    """Valid lanes for reductions, 0: all."""
    last_only: bool = False
    """Only the last row is cut to `lanes`."""
    m_tiles: int = 1
    m_stride: int = 0
    group: int = 1
    """Query heads that share a KV head."""
    first_head: int = 0
    """Index of the first packed query head, from the first of the tile's KV heads."""
    fetch_tiles: int = 1
    fetch_elements: int = 0
    h_rows: int = 0
    h_width: int = 0
    h_pitch: int = 0


def reset(shape: Shape) -> Sticky:
    """The state before the first instruction."""
    return Sticky(segment=shape.hlen, m_rows=shape.blen)
