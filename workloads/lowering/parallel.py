"""Sum of the cores' partial products, by column blocks: each core owns some, all get the sums."""

from __future__ import annotations

from workloads.lowering.context import Cell, Context
from workloads.lowering.dims import ceil_div


def owned_blocks(c: Context) -> int:
    """Rows of the product that a core sums: its share of all column blocks' rows, rounded up."""
    return ceil_div(c.dims.hidden.blocks * c.vectors.rows, c.dims.view.cores)


def all_reduce(c: Context) -> None:
    """Reduce-scatter, then all-gather, of the product rows; see the module."""
    c.phase("allreduce")
    raise NotImplementedError(Cell.PEERS)
