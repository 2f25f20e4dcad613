"""What the lowering needs to know of a machine: sizes, never costs or latencies."""

from __future__ import annotations

from typing import Any

import attrs

from archsim.errors import WorkloadError

_CELL_QUARTERS = 17
"""A Matrix SRAM cell holds a 4-bit code and its share of an 8-bit scale per 32: 4.25 bits."""


def matrix_cells(capacity_bytes: int) -> int:
    """Cells of a Matrix SRAM of that many bytes."""
    return capacity_bytes * 8 * 4 // _CELL_QUARTERS


def matrix_bytes(cells: int) -> int:
    """Least capacity in bytes that holds that many cells."""
    return -(-cells * _CELL_QUARTERS // 32)


@attrs.frozen(kw_only=True)
class MachineView:
    """The sizes that a program depends on.

    `matrix_cells` counts Matrix SRAM cells, `vector_vectors` Vector SRAM vectors of `vlen` BF16 lanes,
    `fp_words` and `int_words` the scalar memories, `kv_slots` scale slots of the KV engine, all per core.
    `layer_stride_bytes` is channels x banks x row bytes: strides that are its multiples meet the same banks.
    `stripe_bytes` is channels x interleave: transfers of its multiples, from its multiples on, meet all channels alike.
    """

    name: str
    cores: int
    mlen: int
    blen: int
    hlen: int
    vlen: int
    matrix_cells: int
    vector_vectors: int
    fp_words: int
    int_words: int
    kv_slots: int
    hbm_bytes: int
    channels: int
    layer_stride_bytes: int
    stripe_bytes: int

    def __attrs_post_init__(self) -> None:
        if self.mlen != self.vlen:
            found = f"mlen {self.mlen} and vlen {self.vlen}"
            raise WorkloadError(f"machine {self.name}: {found}; expected equal, a tile takes whole vectors")
        if self.vlen % self.hlen or self.vlen % self.blen:
            found = f"vlen {self.vlen}, hlen {self.hlen}, blen {self.blen}"
            raise WorkloadError(f"machine {self.name}: {found}; expected hlen and blen to divide vlen")

    @property
    def heads_per_vector(self) -> int:
        """Attention heads packed into one vector."""
        return self.vlen // self.hlen

    @property
    def tile_elements(self) -> int:
        """Elements of a full weight tile, MLEN x BLEN."""
        return self.mlen * self.blen


def view_of(params: Any) -> MachineView:
    """The view of a machine's parameters, as `archsim.load_machine` returns them."""
    memory, channels = params.memory.build(), params.memory.channels * params.memory.pseudo_channels
    return MachineView(
        name=params.name,
        cores=params.cores,
        mlen=params.core.mlen,
        blen=params.core.blen,
        hlen=params.core.hlen,
        vlen=params.core.vlen,
        matrix_cells=matrix_cells(params.matrix_sram.capacity),
        vector_vectors=params.vector_sram.capacity // (2 * params.core.vlen),
        fp_words=params.scalar_memory.fp_words,
        int_words=params.scalar_memory.int_words,
        kv_slots=params.kv_engine.slots,
        hbm_bytes=params.memory.capacity,
        channels=channels,
        layer_stride_bytes=max(1 << 20, getattr(memory, "period_bytes", 0)),
        stripe_bytes=channels * params.memory.interleave,
    )


REFERENCE = MachineView(
    name="dart-2048",
    cores=1,
    mlen=2048,
    blen=128,
    hlen=128,
    vlen=2048,
    matrix_cells=matrix_cells(8 << 20),
    vector_vectors=6144,
    fp_words=8192,
    int_words=65536,
    kv_slots=2048,
    hbm_bytes=32 << 30,
    channels=64,
    layer_stride_bytes=1 << 20,
    stripe_bytes=1 << 13,
)
"""The reference machine, as a view."""
