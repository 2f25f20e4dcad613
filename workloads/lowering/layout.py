"""Where a lowered program expects its tensors in HBM and its tokens in INT_MEM."""

from __future__ import annotations

import attrs

from workloads.lowering.emit.context import Tensors
from workloads.lowering.options import LoweringOptions
from workloads.lowering.plan.dims import Dims
from workloads.lowering.tables import Tables


@attrs.frozen(kw_only=True)
class Layout:
    """What filling the memories needs to know of a program.

    Sequence s has its tokens in the `tables.token_pitch` INT_MEM words from `tables.tokens + s * token_pitch` on.
    """

    dims: Dims
    options: LoweringOptions
    tensors: Tensors
    tables: Tables
    sequences: int
    positions: int
    """Rows of a sequence's KV cache, and of the rotary tables."""
    masked_rows: int
    """Most query rows of a forward that have masks of their own."""
    mix_parts: int
    """Parts in which the vocabulary is summed over, where rows enter as mixtures of all embeddings."""
    scale_offset: int
    """Bytes from a tensor's codes to its scales."""
