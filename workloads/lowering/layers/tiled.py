"""Layers for more rows than Vector SRAM holds: row tiles take turns, and spill to HBM in between.

A layer is two sweeps over the tiles, each of which streams its weights once per tile. The first makes
queries, keys and values; the second does attention, output projection and MLP. Residual and query rows
go to HBM and come back, and so do keys and values where their channel scales are known only after the
last row: they are then calibrated and quantised between the sweeps, a head group at a time.

Spilled elements: residual [position][column block][lane], queries [group][position][lane], then keys
and values [K|V][KV group][position][lane].
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from workloads.lowering.attention import rows
from workloads.lowering.attention.layer import cached_attention, project_kv, project_q
from workloads.lowering.emit.context import Context, Tiling
from workloads.lowering.emit.places import A_KV, A_SPILL, A_TABLES, Cell
from workloads.lowering.layers import norms
from workloads.lowering.layers.ffn import feed_forward, output_projection
from workloads.lowering.layers.mixture import mixture as route
from workloads.lowering.plan.classes import ForwardClass
from workloads.lowering.plan.dims import Dims
from workloads.lowering.plan.ring import Plan
from workloads.lowering.plan.stages import split_layer
from workloads.lowering.plan.vectors import VectorPlan, plan_vectors


def spill_elements(dims: Dims, positions: int) -> int:
    """Size of the spill area."""
    return (dims.hidden.blocks + dims.q.blocks + 2 * dims.kv.blocks) * positions * dims.view.vlen


def tiled_embed(c: Context) -> None:
    """Gather all query rows, tile by tile, into the spilled residual."""
    _sweep(c, _embed_tile)


def tiled_layer(c: Context, *, mixture: bool) -> None:
    """One layer, with experts or without."""
    tiling = _tiling(c)
    _sweep(c, lambda tile: _project(tile, tiling.projections[tile.last_tile]))
    if rows.calibrates(c):
        _requantise(c)
    plans = tiling.mixture_rest if mixture and tiling.mixture_rest is not None else tiling.rest
    inner = route if mixture else feed_forward
    _sweep(c, lambda tile: _finish(tile, plans[tile.last_tile], inner), unrolled=c.kind.causal)


def load_head_rows(c: Context) -> None:
    """The rows that meet the LM head, from the spilled residual."""
    v, blocks = c.vectors, c.dims.hidden.blocks
    c.b.h_rows(v.head_rows, blocks * c.dims.view.vlen, 0)
    with c.b.reg() as offset:
        c.b.load(offset, Cell.HEAD)
        c.b.emit("S_MUL_INT", offset, offset, c.b.const(blocks))
        c.b.emit("H_PREFETCH_V", c.v(v.compact), offset, A_SPILL, 0, c.table_precision)


def make_tiling(dims: Dims, depth: int, kind: ForwardClass, vectors: VectorPlan, first: int) -> Tiling:
    """Row tiles of a class, the last of which may be shorter; `first`: the first vector of their plans."""
    projections, rest = split_layer(dims)
    other = split_layer(dims, mixture=True)[1] if dims.mixture is not None else None
    last = attrs.evolve(kind, q_rows=kind.q_rows - (vectors.tiles - 1) * vectors.rows)
    return Tiling(
        tiles=vectors.tiles,
        rows=vectors.rows,
        full=kind.q_rows,
        last_kind=last,
        last_vectors=plan_vectors(dims, last, 1, first),
        projections=(Plan(projections, depth, projections), Plan(projections, depth, rest, lead=rest)),
        rest=(Plan(rest, depth, rest), Plan(rest, depth, lead=projections)),
        mixture_rest=(Plan(other, depth, other), Plan(other, depth, lead=projections)) if other else None,
    )


def _tiling(c: Context) -> Tiling:
    assert c.tiling is not None
    return c.tiling


def _sweep(c: Context, body: Callable[[Context], None], *, unrolled: bool = False) -> None:
    """Emit `body` for every tile, with a context for its rows."""
    tiling, b = _tiling(c), c.b
    b.store(0, Cell.ROW)
    if unrolled:
        for index in range(tiling.tiles - 1):
            body(attrs.evolve(c, first_row=index * tiling.rows))
            _advance(c)
    else:
        with b.loop(tiling.tiles - 1):
            body(c)
            _advance(c)
    first = (tiling.tiles - 1) * tiling.rows
    body(attrs.evolve(c, kind=tiling.last_kind, vectors=tiling.last_vectors, first_row=first, last_tile=True))


def _advance(c: Context) -> None:
    with c.b.reg() as row:
        c.b.load(row, Cell.ROW)
        c.b.add(row, _tiling(c).rows)
        c.b.store(row, Cell.ROW)


def _move(c: Context, mnemonic: str, vector: int, blocks: int, first: int) -> None:
    """Transfer the tile's rows of `blocks` column blocks, spilled from element `first` on."""
    b, vlen = c.b, c.dims.view.vlen
    b.h_rows(c.kind.q_rows, blocks * vlen, 0)
    with b.reg() as offset:
        b.load(offset, Cell.ROW)
        b.emit("S_MUL_INT", offset, offset, b.const(blocks * vlen))
        b.add(offset, first)
        b.emit(mnemonic, c.v(vector), offset, A_SPILL, 0, c.table_precision)


def _queries(c: Context, group: int) -> int:
    return (c.dims.hidden.blocks + group) * c.positions * c.dims.view.vlen


def _cache_rows(c: Context, value: bool, kv_group: int) -> int:
    index = c.dims.hidden.blocks + c.dims.q.blocks + value * c.dims.kv.blocks + kv_group
    return index * c.positions * c.dims.view.vlen


def _embed_tile(c: Context) -> None:
    b, v = c.b, c.vectors
    b.h_rows(c.kind.q_rows, c.dims.hidden.width, 0)
    with b.reg() as ids, b.reg() as row:
        b.load(ids, Cell.IDS)
        b.load(row, Cell.ROW)
        b.emit("S_ADD_INT", ids, ids, row)
        for block, table in enumerate(c.tensors.embedding):
            b.address(A_TABLES, table.base)
            b.emit("H_GATHER_V", c.v(v.x + block * v.rows), ids, A_TABLES, c.embedding_precision)
    _move(c, "H_STORE_V", v.x, c.dims.hidden.blocks, 0)


def _project(c: Context, plan: Plan) -> None:
    """First sweep: a tile's queries, keys and values."""
    b, v = c.b, c.vectors
    c.phase("norm")
    _move(c, "H_PREFETCH_V", v.x, c.dims.hidden.blocks, 0)
    with b.reg() as position, b.reg() as offset:
        b.load(position, Cell.Q_START)
        b.load(offset, Cell.ROW)
        b.emit("S_ADD_INT", position, position, offset)
        rows.load_rope(c, position, offset)
    norms.norm(c, c.activations(v.x), v.normed)
    c.stream.begin(plan)
    for gemm in plan.stage.gemms:
        kind, group = gemm.name[0], int(gemm.name[1:])
        if kind == "q":
            project_q(c, group, folded=False)
            _move(c, "H_STORE_V", v.query + group * v.rows, 1, _queries(c, group))
        else:
            project_kv(c, group, value=kind == "v", store=_store_rows)
    c.stream.end()


def _store_rows(c: Context, source: int, value: bool, kv_group: int) -> None:
    """Keys or values of a tile: to the cache, or spilled where their channel scales are not known yet."""
    if rows.calibrates(c):
        _move(c, "H_STORE_V", source, 1, _cache_rows(c, value, kv_group))
    else:
        _store_tile(c, source, value, kv_group)


def _store_tile(c: Context, source: int, value: bool, kv_group: int) -> None:
    b = c.b
    if c.options.rotated:
        rows.turn(c, source, c.kind.q_rows)
    b.v_rows(c.kind.q_rows)
    b.stride(c.dims.kv.width)
    with (
        c.offset(Cell.SLOT, c.slot(value, 0, kv_group)) as slot,
        c.offset(Cell.KV_WRITE, c.kv_offset(value, 0, kv_group)) as target,
        b.reg() as row,
    ):
        b.load(row, Cell.ROW)
        b.emit("S_MUL_INT", row, row, b.const(c.dims.kv.width))
        b.emit("S_ADD_INT", target, target, row)
        b.emit("K_STORE", target, c.v(source), A_KV, slot, c.options.store_scheme(value=value))


def _requantise(c: Context) -> None:
    """Between the sweeps: calibrate and store all rows of every head group's keys and values."""
    b, tiling = c.b, _tiling(c)
    c.phase("kv_store")
    b.stride(c.dims.kv.width)
    for kv_group in range(c.dims.kv.blocks):
        for value in (False, True):
            if c.vectors.query + tiling.full > c.dims.view.vector_vectors:
                _requantise_parts(c, kv_group, value)
                continue
            b.h_rows(tiling.full, c.dims.view.vlen, 0)
            spilled = b.const(_cache_rows(c, value, kv_group))
            b.emit("H_PREFETCH_V", c.v(c.vectors.query), spilled, A_SPILL, 0, c.table_precision)
            b.v_rows(tiling.full)
            with (
                c.offset(Cell.SLOT, c.slot(value, 0, kv_group)) as slot,
                c.offset(Cell.KV_WRITE, c.kv_offset(value, 0, kv_group)) as target,
            ):
                rows.calibrate(c, c.vectors.query, slot, tiling.full)
                b.emit("K_STORE", target, c.v(c.vectors.query), A_KV, slot, c.options.store_scheme(value=value))


def _requantise_parts(c: Context, kv_group: int, value: bool) -> None:
    """The same for more rows than fit: all of them part by part for their channel scales, and again to be stored."""
    b, full, vlen, width = c.b, _tiling(c).full, c.dims.view.vlen, c.dims.kv.width
    most = c.dims.view.vector_vectors - c.vectors.query
    parts = [(start, min(most, full - start)) for start in range(0, full, most)]
    with (
        c.offset(Cell.SLOT, c.slot(value, 0, kv_group)) as slot,
        c.offset(Cell.KV_WRITE, c.kv_offset(value, 0, kv_group)) as target,
    ):
        for stores in (False, True):
            for start, count in parts:
                b.h_rows(count, vlen, 0)
                spilled = b.const(_cache_rows(c, value, kv_group) + start * vlen)
                b.emit("H_PREFETCH_V", c.v(c.vectors.query), spilled, A_SPILL, 0, c.table_precision)
                b.v_rows(count)
                if stores:
                    b.emit("K_STORE", target, c.v(c.vectors.query), A_KV, slot, c.options.store_scheme(value=value))
                    b.add(target, count * width)
                else:
                    rows.calibrate(c, c.vectors.query, slot, count, first=start == 0)


def _finish(c: Context, plan: Plan, inner: Callable[[Context], None]) -> None:
    """Second sweep: attention, output projection and MLP or experts (`inner`) of a tile."""
    v = c.vectors
    c.phase("attention")
    _move(c, "H_PREFETCH_V", v.x, c.dims.hidden.blocks, 0)
    for group in range(c.dims.q.blocks):
        target = v.query + group * v.rows
        _move(c, "H_PREFETCH_V", target, 1, _queries(c, group))
        rows.fold(c, target, group, value=False)
    c.stream.begin(plan)
    cached_attention(c)
    output_projection(c)
    inner(c)
    c.stream.end()
    _move(c, "H_STORE_V", v.x, c.dims.hidden.blocks, 0)
