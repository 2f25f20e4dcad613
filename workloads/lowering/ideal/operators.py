"""Work of layers whose operators take different rows, for the ideal bounds; see `work`."""

from __future__ import annotations

import math

from workloads.forwards import OperatorRows
from workloads.lowering.options import LoweringOptions
from workloads.lowering.plan.dims import Dims, ceil_div
from workloads.shape import MLPS

_SIMILAR, _ADD = 30, 2
"""Cycles per vector: three products 2 and sums 8; add."""


def operator_work(
    dims: Dims, options: LoweringOptions, kv_rows: int, rows: OperatorRows, costs: tuple[int, int, int, int]
) -> dict[str, int]:
    """Work of one such layer, for one sequence. `costs`: cycles per vector of norm, rotation, softmax and MLP."""
    model, view = dims.model, dims.view
    norm, turned, softmax, mlp = costs

    def columns(width: int) -> int:
        return ceil_div(width, view.blen)

    def blocks(width: int) -> int:
        return ceil_div(width, view.mlen)

    def tiles(count: int) -> int:
        return ceil_div(count, view.blen)

    inner = (MLPS[model.mlp] - 1) * columns(model.ffn) * tiles(rows.feedforward)
    projected = columns(model.q_width) * tiles(rows.query)
    projected += columns(model.kv_width) * (tiles(rows.key) + tiles(rows.value))
    tensor = blocks(model.hidden) * (projected + inner)
    tensor += blocks(model.q_width) * columns(model.hidden) * tiles(rows.attention)
    tensor += blocks(model.ffn) * columns(model.hidden) * tiles(rows.feedforward)
    pairs = tiles(rows.attention) * ceil_div(kv_rows, view.hlen)
    tensor += 2 * pairs * ceil_div(model.heads, view.heads_per_vector)

    widest = max(rows.query, rows.key, rows.value)
    compared = {"": 0, "value": model.kv_width, "query": model.q_width}[rows.compared]
    # Kept outputs of rows that are left out are added as well.
    vector = (norm * (widest + rows.feedforward) + 2 * _ADD * rows.first_layer) * blocks(model.hidden)
    vector += turned * (rows.query * blocks(model.q_width) + rows.key * blocks(model.kv_width))
    vector += rows.attention * (2 * blocks(model.q_width) + softmax * ceil_div(kv_rows * model.heads, view.vlen))
    vector += rows.feedforward * mlp * blocks(model.ffn) + _SIMILAR * widest * blocks(compared)

    kv_row = options.kv_format.total_bytes(2 * model.kv_width)
    parts = 1 if rows.feedforward == rows.first_layer else 2
    hbm = options.weight_format.total_bytes(math.ceil(model.layer_weights * dims.weight_share))
    hbm += kv_row * kv_rows + ceil_div(kv_row * (rows.key + rows.value), 2)
    hbm += parts * rows.first_layer * options.table_format.total_bytes(model.hidden)
    if rows.compared == "value":
        hbm += rows.value * options.kv_format.total_bytes(model.kv_width)
    elif rows.compared:
        hbm += 2 * rows.query * options.table_format.total_bytes(model.q_width)
    return {"tensor_cycles": view.blen * tensor, "vector_cycles": vector, "hbm_bytes": hbm}
