"""One class of forwards: embedding, layers, LM head, sampling."""

from __future__ import annotations

from collections.abc import Callable

from workloads.lowering import norms, rows
from workloads.lowering.attention import attention
from workloads.lowering.context import A_EXPERTS, A_KV, A_TABLES, LAYER_ROW, Cell, Context
from workloads.lowering.drafts import emit_fork, emit_settle, emit_verify
from workloads.lowering.ffn import feed_forward, output_projection
from workloads.lowering.fields import Fields, load_counts
from workloads.lowering.head import head_norm, lm_head, sample, sampling_plan
from workloads.lowering.likelihood import add_given, first_word
from workloads.lowering.mixture import mixture as route
from workloads.lowering.row_masks import load_row_masks
from workloads.lowering.sampling_plan import SamplingPlan
from workloads.lowering.sampling_scores import LIKELIHOOD
from workloads.lowering.soft_rows import load_soft, make_soft
from workloads.lowering.stability import STABILITY, swap_logits
from workloads.lowering.tiled import tiled_embed, tiled_layer


def emit_forward(c: Context, fields: Fields, tokens: int, token_pitch: int, sampled: int) -> None:
    """Emit a forward; `fields` loads what differs between the forwards of the class.

    `tokens` is the INT_MEM address of the canvas tokens, `token_pitch` words from one sequence to the
    next; `sampled` that of the tokens sampled last.
    """
    b = c.b
    b.phase(c.kind.kind, "embed", f"{c.kind.kind}.begin")
    if c.kind.score == STABILITY:
        swap_logits(c)
    if c.kind.drafts:
        emit_fork(c, tokens, token_pitch)
    _start(c, fields, tokens, sampled)
    plan = sampling_plan(c, token_pitch, sampled, (0, 0)) if c.kind.head_rows else None
    if plan is not None and c.kind.score == LIKELIHOOD:
        b.store(b.const(first_word(plan)), Cell.GIVEN)
    pitch = 1 if c.kind.decodes else token_pitch
    if c.switches and c.groups > 1:
        with b.reg(c.table) as own:
            _set_next(c, own)
        with b.loop(c.groups - 1):
            _pass(c, plan, pitch)
    if c.switches:
        with b.reg() as following:
            fields.load(c, following, "next")
            _set_next(c, following)
    with b.loop(1 if c.switches else c.groups):
        _pass(c, plan, pitch)
    if plan is None:
        return
    with b.reg() as x, b.reg() as k:
        sample(c, sampling_plan(c, token_pitch, sampled, (x, k)))
        if c.kind.mix_rows:
            make_soft(c, plan)
    if c.kind.verified:
        emit_verify(c, sampled, token_pitch)
    if c.kind.drafts:
        emit_settle(c, tokens, token_pitch)


def _pass(c: Context, plan: SamplingPlan | None, pitch: int) -> None:
    """One group of sequences through the layers and, where there is a plan of sampling, the LM head."""
    if c.tiling is None:
        _embed(c, pitch)
    else:
        tiled_embed(c)
    if c.kind.soft_rows:
        load_soft(c)
    if c.tiling is None:
        _layers(c)
    else:
        _layer_loop(c, lambda experts: tiled_layer(c, mixture=experts))
    if plan is not None:
        head_norm(c)
        lm_head(c, plan)
        if c.kind.score == LIKELIHOOD:
            add_given(c, pitch)
    if c.groups > 1:
        _next_group(c, pitch)


def _set_next(c: Context, table: int) -> None:
    """Say which layer follows this pass, by the register with its table row: behind LM head or last layer."""
    with c.b.reg() as page:
        c.b.emit("S_LD_INT", page, table, 0)
        c.b.store(page, Cell.NEXT_PAGE if c.kind.head_rows else c.table + LAYER_ROW * c.layers)


def _start(c: Context, fields: Fields, tokens: int, sampled: int) -> None:
    """Set the program's variables for this forward and load its tables."""
    b, dims = c.b, c.dims
    with b.reg() as value, b.reg() as product:
        load_counts(c, fields, value)
        fields.load(c, value, "q_start")
        _store_product(c, product, value, dims.kv.width, Cell.KV_WRITE)
        b.store(value, Cell.Q_START)
        if c.tiling is None:
            rows.load_rope(c, value, product)
        b.add(value, tokens)
        if c.kind.decodes:
            b.set(value, sampled)
        b.store(value, Cell.IDS)
        fields.load(c, value, "tail")
        _store_product(c, product, value, dims.kv.width, Cell.TAIL)
        _load_masks(c, value)
        if c.kind.own_tiles(c.dims.view.hlen):
            fields.load(c, value, "mask_row")
            load_row_masks(c, value)
        fields.load(c, value, "head_offset")
        _store_product(c, product, value, dims.view.vlen, Cell.HEAD)
        fields.load(c, value, "head_start")
        b.add(value, tokens)
        b.store(value, Cell.TOKENS)
        fields.load(c, value, "committed")
        b.store(value, Cell.COMMITTED)
        b.store(0, Cell.KV_READ)
        b.store(b.const(c.first_layer * _layer_slots(c)), Cell.SLOT)
        # Each core computes a run of chunks of every sequence's logits.
        b.load(value, Cell.CORE)
        _store_product(c, product, value, dims.core_chunks * c.kind.head_rows * dims.view.vlen, Cell.LOGITS)


def _list_tokens(c: Context, pitch: int) -> None:
    """Bring the tokens of scattered rows together, so that one transfer can gather their embeddings."""
    b, listed = c.b, c.listed
    assert listed is not None
    with b.reg() as ids, b.reg() as place, b.reg() as target, b.reg() as token:
        b.load(ids, Cell.IDS)
        for sequence in range(c.sequences):
            b.set(place, listed.positions)
            b.set(target, listed.tokens + sequence * pitch)
            with b.loop_of(c.query_rows):
                b.emit("S_LD_INT", token, place, 0)
                b.emit("S_ADD_INT", token, token, ids)
                b.emit("S_LD_INT", token, token, 0)
                b.emit("S_ST_INT", token, target, 0)
                b.add(place, 1)
                b.add(target, 1)
            b.add(ids, pitch)
        b.set(ids, listed.tokens)
        b.store(ids, Cell.IDS)


def _store_product(c: Context, product: int, value: int, factor: int, cell: int) -> None:
    c.b.emit("S_MUL_INT", product, value, c.b.const(factor))
    c.b.store(product, cell)


def _load_masks(c: Context, tail: int) -> None:
    """The mask of `tail` keys (row tail - 1 of the table), or all of the table where attention is causal."""
    if c.kind.own_tiles(c.dims.view.hlen) or c.tensors.masks is None or not (c.kind.masked or c.kind.causal):
        return
    b, view = c.b, c.dims.view
    b.address(A_TABLES, c.tensors.masks.base)
    b.h_rows(view.hlen if c.kind.causal else 1, view.vlen, 0)
    with b.reg() as offset:
        b.set(offset, 0)
        if not c.kind.causal:
            b.emit("S_MUL_INT", offset, tail, b.const(view.vlen))
            b.emit("S_SUB_INT", offset, offset, b.const(view.vlen))
        b.emit("H_PREFETCH_V", c.v(c.vectors.key_mask), offset, A_TABLES, 0, c.table_precision)


def _embed(c: Context, pitch: int) -> None:
    """Gather the rows of all query tokens, block by block."""
    b, v, count = c.b, c.vectors, c.kind.q_rows
    if c.listed is not None:
        _list_tokens(c, pitch)
    b.h_rows(c.query_rows, c.dims.hidden.width, 0)
    for block, table in enumerate(c.tensors.embedding):
        b.address(A_TABLES, table.base)
        with c.offset(Cell.IDS, 0) as ids:
            for sequence in range(v.sequences):
                b.emit("H_GATHER_V", c.v(v.x + block * v.rows + sequence * count), ids, A_TABLES, c.embedding_precision)
                b.add(ids, pitch)


def _layers(c: Context) -> None:
    first = c.activations(c.vectors.x)
    c.phase("norm")
    for block in range(c.dims.hidden.blocks):
        norms.add_squares(c, first, block, c.vectors.normed + block * c.vectors.rows)
    _layer_loop(c, lambda experts: _layer(c, mixture=experts))


def _layer_loop(c: Context, body: Callable[[bool], None]) -> None:
    """All layers: their bases and biases, then what `body` emits, given whether they have experts."""
    b = c.b
    with b.reg(c.table) as row:
        b.store(row, Cell.LAYER)
    b.store(b.const(c.first_layer * c.dims.row_vectors * c.dims.view.vlen), Cell.BIAS)
    dense = c.layers if c.mixture is None else c.dims.model.dense_layers
    if dense:
        with b.loop(dense):
            _one_layer(c, lambda: body(False))  # noqa: FBT003
    if c.mixture is not None:
        with b.reg(c.mixture.pages) as page:
            b.store(page, Cell.PAGES)
        with b.loop(c.layers - dense):
            _find_experts(c)
            _one_layer(c, lambda: body(True))  # noqa: FBT003
    with b.reg() as slot:
        b.load(slot, Cell.SLOT)
        b.emit("S_SUB_INT", slot, slot, b.const(c.layers * _layer_slots(c)))
        b.store(slot, Cell.SLOT)


def _one_layer(c: Context, body: Callable[[], None]) -> None:
    """A layer's bases and biases, what `body` emits, and the step to the next layer."""
    b = c.b
    with b.reg() as page:
        b.load(page, Cell.LAYER)
        b.emit("S_LD_INT", page, page, 1)
        b.emit("C_SET_ADDR_PAGE", A_KV, page)
    if c.tensors.bias:
        _load_biases(c)
    body()
    with b.reg() as value:
        b.load(value, Cell.LAYER)
        b.add(value, LAYER_ROW)
        b.store(value, Cell.LAYER)
        b.load(value, Cell.SLOT)
        b.add(value, _layer_slots(c))
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


def _layer_slots(c: Context) -> int:
    return 2 * c.cached * c.dims.kv.blocks


def _load_biases(c: Context) -> None:
    b, vlen, count = c.b, c.dims.view.vlen, c.dims.row_vectors
    with b.reg() as high, b.reg() as low:
        b.load(high, Cell.BIAS_BASE)
        b.load(low, Cell.BIAS_BASE + 1)
        b.emit("C_SET_ADDR_REG", A_TABLES, high, low)
        b.load(low, Cell.BIAS)
        b.h_rows(count, vlen, 0)
        b.emit("H_PREFETCH_V", c.v(c.vectors.bias), low, A_TABLES, 0, c.table_precision)
        b.add(low, count * vlen)
        b.store(low, Cell.BIAS)


def _next_group(c: Context, pitch: int) -> None:
    """Move the variables on to the next group of sequences."""
    b, count, kv = c.b, c.vectors.sequences, c.dims.kv
    slab = count * kv.blocks * c.positions * kv.width
    logits = count * c.dims.chunks * c.kind.head_rows * c.dims.view.vlen
    steps = ((Cell.IDS, count * pitch), (Cell.KV_WRITE, slab), (Cell.KV_READ, slab),
             (Cell.LOGITS, logits), (Cell.SLOT, count * kv.blocks),
             *(((Cell.GIVEN, count),) if c.kind.score == LIKELIHOOD else ()))  # fmt: skip
    with b.reg() as value:
        for cell, step in steps:
            b.load(value, cell)
            b.add(value, step)
            b.store(value, cell)
