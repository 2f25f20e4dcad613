"""One class of forwards: embedding, layers, LM head, sampling."""

from __future__ import annotations

from functools import partial

from workloads.lowering.attention import rows
from workloads.lowering.attention.row_masks import load_row_masks, move_accepted
from workloads.lowering.drafts import emit_fork, emit_settle, emit_verify
from workloads.lowering.emit.context import Context
from workloads.lowering.emit.places import A_TABLES, LAYER_ROW, Cell
from workloads.lowering.fields import Fields, load_counts
from workloads.lowering.head.end_test import emit_end_test
from workloads.lowering.head.lm_head import head_norm, lm_head, sample, sampling_plan
from workloads.lowering.head.soft_rows import load_soft, make_soft
from workloads.lowering.layers.loop import emit_layers, layer_loop, layer_slots
from workloads.lowering.layers.tiled import tiled_embed, tiled_layer
from workloads.lowering.sampling.likelihood import add_given, first_word
from workloads.lowering.sampling.plan import SamplingPlan
from workloads.lowering.sampling.scores import LIKELIHOOD
from workloads.lowering.sampling.stability import STABILITY, swap_logits


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
    _passes(c, fields, plan, 1 if c.kind.decodes else token_pitch)
    if plan is None:
        return
    with b.reg() as x, b.reg() as k:
        sample(c, sampling_plan(c, token_pitch, sampled, (x, k)))
        _behind_sampling(c, plan)
    if c.kind.end_test:
        emit_end_test(c, sampled)
    if c.kind.verified:
        emit_verify(c, sampled, token_pitch)
    if c.kind.drafts:
        emit_settle(c, tokens, token_pitch)


def _behind_sampling(c: Context, plan: SamplingPlan) -> None:
    """What this forward leaves for the next one: K and V of accepted nodes, mixtures of embeddings."""
    if c.kind.tree:
        move_accepted(c)
    if c.kind.mix_rows:
        make_soft(c, plan)


def _passes(c: Context, fields: Fields, plan: SamplingPlan | None, pitch: int) -> None:
    """All groups of sequences, the last one perhaps followed by another network."""
    b = c.b
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


def _pass(c: Context, plan: SamplingPlan | None, pitch: int) -> None:
    """One group of sequences through the layers and, where there is a plan of sampling, the LM head."""
    if c.tiling is None:
        _embed(c, pitch)
    else:
        tiled_embed(c)
    if c.kind.soft_rows:
        load_soft(c)
    if c.tiling is None:
        emit_layers(c)
    else:
        layer_loop(c, partial(tiled_layer, c, mixture=False), partial(tiled_layer, c, mixture=True))
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
        if c.kind.tree:
            fields.load(c, value, "accepted")
            b.store(value, Cell.ACCEPTED)
        b.store(0, Cell.KV_READ)
        b.store(b.const(c.first_layer * layer_slots(c)), Cell.SLOT)
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
