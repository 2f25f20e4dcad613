"""Work that mixtures of embeddings need, from shapes alone; see `work`."""

from __future__ import annotations

from workloads.forwards import Forward
from workloads.lowering.options import LoweringOptions
from workloads.lowering.plan.dims import Dims, ceil_div

_SOFTMAX, _NORM, _SCALE, _ADD, _LARGEST, _REMOVE = 15, 10, 2, 2, 4, 2
"""Cycles per vector: max 4 + subtract 2 + exp 1 + sum 8; square 2 + sum 8; product; sum; max; subtract."""


def soft_work(dims: Dims, options: LoweringOptions, following: Forward) -> dict[str, int]:
    """What a forward does for the soft rows of the one behind it: tensor_cycles, vector_cycles, hbm_bytes.

    All embeddings: a softmax over the vocabulary and a product with the embedding, whose weights and logits come
    from HBM. A few: gathered rows, weighed and added, and scaled by their norms. Either way rows go out and in.
    """
    model, view, rows = dims.model, dims.view, following.soft_rows
    if rows == 0:
        return {}
    hidden, vocab = ceil_div(model.hidden, view.vlen), ceil_div(model.vocab, view.vlen)
    moved = 2 * rows * options.table_format.total_bytes(model.hidden)
    logits = rows * options.logit_format.total_bytes(model.vocab)
    if following.soft_terms == 0:
        tiles = ceil_div(model.vocab, view.mlen) * ceil_div(model.hidden, view.blen) * ceil_div(rows, view.blen)
        return {
            "tensor_cycles": view.blen * tiles,
            "vector_cycles": rows * (_SOFTMAX * vocab + (_SCALE + _ADD) * hidden),
            "hbm_bytes": options.weight_format.total_bytes(model.hidden * model.vocab) + logits + moved,
        }
    tokens = following.soft_terms - 1
    gathered = tokens * rows * options.table_format.total_bytes(model.hidden)
    further = (tokens - 1) * rows * vocab * (_LARGEST + _REMOVE)
    return {
        "vector_cycles": rows * hidden * (tokens * (_NORM + _SCALE + _ADD) + _NORM + _SCALE) + further,
        "hbm_bytes": gathered + moved + (logits if tokens > 1 else 0),
    }
