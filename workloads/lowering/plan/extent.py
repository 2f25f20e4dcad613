"""How large the tensors of a program get."""

from __future__ import annotations

import attrs

from workloads.lowering.plan.dims import SCALE_BLOCK


@attrs.frozen(kw_only=True)
class Extent:
    """How large the program's tensors get: `positions` of a KV cache, `head_rows` of a sequence's logits."""

    sequences: int
    positions: int
    head_rows: int
    key_tiles: int
    masks: bool
    whole: bool
    """Whether some forwards go through the layers with all rows at once."""
    tiled: bool
    """Whether some go in row tiles."""
    policy: int = 0
    """Weights of the network that chooses rows, if any."""
    compares: bool = False
    """Whether the logits of one forward are there until the next."""
    mixed: int = 0
    """Rows that enter as mixtures of embeddings."""
    masked_rows: int = 0
    """Query rows with masks of their own."""
    masked_tiles: int = 0
    """Key tiles that they cover."""
    mixes_all: bool = False
    """Whether some of them are mixtures of all embeddings."""


def cache_rows(rows: int) -> int:
    """Rows of a KV cache slab that holds `rows`: an odd number of scale blocks.

    Slabs with an even number would start their scales in the same few channels, and the small
    scale stores of all heads and sequences would queue there while the other channels are free.
    """
    blocks = -(-rows // SCALE_BLOCK)
    return (blocks | 1) * SCALE_BLOCK
