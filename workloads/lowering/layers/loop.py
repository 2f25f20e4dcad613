"""The layers of a forward: their bases and biases in turn, and what one layer is made of."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from workloads.lowering.attention.layer import attention
from workloads.lowering.emit.context import Context
from workloads.lowering.emit.places import A_EXPERTS, A_KV, A_TABLES, LAYER_ROW, Cell
from workloads.lowering.layers import norms
from workloads.lowering.layers.ffn import feed_forward, output_projection
from workloads.lowering.layers.mixture import mixture as route
from workloads.lowering.layers.operators import emit_bodies


def emit_layers(c: Context) -> None:
    """All layers, from embedded rows to those that the LM head normalises."""
    if c.dims.leading:
        first_layer, other = emit_bodies(c)
        c.b.store(0, Cell.KEPT)
        layer_loop(c, other, other, first_layer)
        return
    first = c.activations(c.vectors.x)
    c.phase("norm")
    for block in range(c.dims.hidden.blocks):
        norms.add_squares(c, first, block, c.vectors.normed + block * c.vectors.rows)
    layer_loop(c, partial(_layer, c, mixture=False), partial(_layer, c, mixture=True))


def layer_loop(
    c: Context, dense: Callable[[], None], routed: Callable[[], None], first: Callable[[], None] | None = None
) -> None:
    """All layers: their bases and biases, then what `dense` emits, or `routed` for those that have experts.

    `first` emits the first layer, where that is another.
    """
    b = c.b
    with b.reg(c.table) as row:
        b.store(row, Cell.LAYER)
    without = c.layers if c.mixture is None else c.dims.model.dense_layers
    if first is not None:
        with b.loop(1):
            _one_layer(c, first)
    same = without - (first is not None)
    if same:
        with b.loop(same):
            _one_layer(c, dense)
    if c.mixture is not None:
        with b.reg(c.mixture.pages) as page:
            b.store(page, Cell.PAGES)
        with b.loop(c.layers - without):
            _find_experts(c)
            _one_layer(c, routed)
    with b.reg() as slot:
        b.load(slot, Cell.SLOT)
        b.emit("S_SUB_INT", slot, slot, b.const(c.layers * layer_slots(c)))
        b.store(slot, Cell.SLOT)


def _one_layer(c: Context, body: Callable[[], None]) -> None:
    """A layer's bases and biases, what `body` emits, and the step to the next layer."""
    b = c.b
    with b.reg() as page:
        b.load(page, Cell.LAYER)
        b.emit("S_LD_INT", page, page, 1)
        b.emit("C_SET_ADDR_PAGE", A_KV, page)
    if c.dims.row_vectors:
        _load_biases(c)
    body()
    with b.reg() as value:
        b.load(value, Cell.LAYER)
        b.add(value, LAYER_ROW)
        b.store(value, Cell.LAYER)
        b.load(value, Cell.SLOT)
        b.add(value, layer_slots(c))
        b.store(value, Cell.SLOT)


def _find_experts(c: Context) -> None:
    """Point the address register at the layer's routed experts."""
    b = c.b
    with b.reg() as place, b.reg() as page:
        b.load(place, Cell.PAGES)
        b.emit("S_LD_INT", page, place, 0)
        b.emit("C_SET_ADDR_PAGE", A_EXPERTS, page)
        b.add(place, 1)
        b.store(place, Cell.PAGES)


def _layer(c: Context, *, mixture: bool) -> None:
    """One layer. The sums of squares of its rows are there already: the layer before left them."""
    v = c.vectors
    c.phase("norm")
    norms.finish(c, c.activations(v.x), v.normed)
    c.stream.begin(c.mixture.layer_plan if mixture and c.mixture is not None else c.layer_plan)
    attention(c)
    output_projection(c)
    (route if mixture else feed_forward)(c)
    c.stream.end()


def layer_slots(c: Context) -> int:
    """KV scale slots of a layer."""
    return 2 * c.cached * c.dims.kv.blocks


def _load_biases(c: Context) -> None:
    b = c.b
    with b.reg() as page:
        b.load(page, Cell.LAYER)
        b.emit("S_LD_INT", page, page, 2)
        b.emit("C_SET_ADDR_PAGE", A_TABLES, page)
    b.h_rows(c.dims.row_vectors, c.dims.view.vlen, 0)
    b.emit("H_PREFETCH_V", c.v(c.vectors.bias), 0, A_TABLES, 0, c.table_precision)
