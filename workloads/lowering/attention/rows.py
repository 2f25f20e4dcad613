"""Row work around the projections: biases, rotary positions, and the KV engine's part."""

from __future__ import annotations

from workloads.lowering.emit.builder import Builder, Count, Word
from workloads.lowering.emit.context import Context
from workloads.lowering.emit.places import A_KV, A_TABLES, F_EPSILON, F_HEAD, Cell
from workloads.lowering.plan.dims import ceil_div

_MEAN, _EPSILON = 1, 2


def add_bias(c: Context, target: int, index: int) -> None:
    """Add bias vector `index` of the layer to all rows, where the model has biases."""
    if c.dims.model.qkv_bias:
        c.b.v_rows(c.all_rows, 1, 0)
        c.b.emit("V_ADD_VV", c.v(target), c.v(target), c.v(c.vectors.bias + index))


def normalize_heads(c: Context, target: int, *, key: bool) -> None:
    """RMSNorm of every head of all rows, where the model has one; the gains of queries hold 1 / sqrt(head_dim)."""
    if not c.dims.model.qk_norm:
        return
    b, v, view = c.b, c.vectors, c.dims.view
    c.phase("qk_norm")
    b.emit("S_LD_FP", _MEAN, 0, F_HEAD)
    b.emit("S_LD_FP", _EPSILON, 0, F_EPSILON)
    statistics = v.head_statistics
    for start in range(0, v.rows, v.scratch_rows):
        count, part = c.part(start, v.scratch_rows, v.rows), target + start
        b.v_rows(count)
        b.v_seg(view.hlen)
        b.emit("V_MUL_VV", c.v(v.scratch), c.v(part), c.v(part))
        b.emit("V_RED_SUM_SEG", c.v(statistics), c.v(v.scratch))
        b.v_rows(ceil_div(v.scratch_rows * view.heads_per_vector, view.vlen))
        b.emit("V_MUL_VF", c.v(statistics), c.v(statistics), _MEAN)
        b.emit("V_ADD_VF", c.v(statistics), c.v(statistics), _EPSILON)
        b.emit("V_RSQRT_V", c.v(statistics), c.v(statistics))
        b.v_rows(count)
        b.emit("V_MUL_SEG", c.v(part), c.v(part), c.v(statistics))
    b.v_rows(c.all_rows, 1, 0)
    gain = v.bias + c.dims.gains + (not key)
    b.emit("V_MUL_VV", c.v(target), c.v(target), c.v(gain))


def rotate(c: Context, target: int) -> None:
    """Rotary positions: rows * cos + rotate_half(rows) * sin, by sequence, as all have the same positions."""
    b, v = c.b, c.vectors
    for sequence in range(v.sequences):
        for start in range(0, c.kind.q_rows, v.scratch_rows):
            part = target + sequence * c.kind.q_rows + start
            b.v_rows(c.part(start, v.scratch_rows, c.kind.q_rows))
            b.emit("V_ROT_SEG", c.v(v.scratch), c.v(part))
            b.emit("V_MUL_VV", c.v(v.scratch), c.v(v.scratch), c.v(v.sines + start))
            b.emit("V_MUL_VV", c.v(part), c.v(part), c.v(v.cosines + start))
            b.emit("V_ADD_VV", c.v(part), c.v(part), c.v(v.scratch))


def store_kv(c: Context, source: int, value: bool, kv_group: int) -> None:
    """Calibrate (where every row of the cache is written anew), quantise and store all rows."""
    b, rows = c.b, c.kind.q_rows
    b.v_rows(c.query_rows)
    b.stride(c.dims.kv.width)
    scheme = c.options.store_scheme(value=value)
    renews = calibrates(c)
    if c.options.rotated:
        turn(c, source, c.all_rows)
        b.v_rows(c.query_rows)
    for sequence in range(c.vectors.sequences):
        place = source + sequence * rows
        with (
            c.offset(Cell.SLOT, c.slot(value, sequence, kv_group)) as slot,
            c.offset(Cell.KV_WRITE, c.kv_offset(value, sequence, kv_group) + c.write_row * c.dims.kv.width) as target,
        ):
            if renews:
                calibrate(c, place, slot, c.query_rows)
            if c.listed is not None:
                _store_listed(c, c.listed.positions, place, (slot, target), scheme)
                continue
            b.emit("K_STORE", target, c.v(place), A_KV, slot, scheme)


def _store_listed(c: Context, positions: int, source: int, registers: tuple[int, int], scheme: int) -> None:
    """Store rows that stand anywhere: one by one, and what is a run as one; `registers`: slot, first K or V row."""
    b, vlen, width = c.b, c.dims.view.vlen, c.dims.kv.width
    slot, target = registers
    with b.reg(positions) as place, b.reg(source * vlen) as row, b.reg() as offset:
        for rows, trips in ((1, Word(Cell.LOOSE)), (Word(Cell.RUN), Word(Cell.RUNS))):
            with b.loop_of(trips):
                b.v_rows(rows)
                b.stride(width)
                _position(b, offset, place, rows)
                b.emit("S_MUL_INT", offset, offset, b.const(width))
                b.emit("S_ADD_INT", offset, offset, target)
                b.emit("K_STORE", offset, row, A_KV, slot, scheme)
                b.add(place, 1)
                b.add(row, vlen)


def _position(b: Builder, register: int, place: int, rows: Count) -> None:
    """register = the position of a row that stands alone, or of the first row of the run behind those."""
    if rows == 1:
        b.emit("S_LD_INT", register, place, 0)
    else:
        b.load(register, Cell.LOOSE)


def fold(c: Context, target: int, group: int, *, value: bool) -> None:
    """Multiply all rows of a query group by the channel scales of their sequence's cache."""
    for sequence in range(c.vectors.sequences):
        fold_unit(c, target + sequence * c.kind.q_rows, c.query_rows, sequence, group, value=value)


def fold_unit(c: Context, target: int, rows: Count, sequence: int, group: int, *, value: bool) -> None:
    """Multiply rows of one sequence by the channel scales of its cache, or rotate them, where those rows are."""
    if c.options.rotated:
        turn(c, target, rows)
    if not c.options.smoothed:
        return
    b, dims = c.b, c.dims
    b.v_rows(rows)
    b.m_group(dims.q_per_kv, dims.first_query(group))
    with c.offset(Cell.SLOT, c.slot(value, sequence, dims.kv_group(group))) as slot:
        b.emit("K_FOLD", c.v(target), c.v(target), slot)


def load_rope(c: Context, position: int, offset: int) -> None:
    """Cosines and sines of the query rows: [cos|sin][position][lane] in HBM."""
    b, v, vlen = c.b, c.vectors, c.dims.view.vlen
    b.address(A_TABLES, c.tensors.rope.base)
    b.h_rows(c.query_rows, vlen, 0)
    if c.listed is not None:
        _load_listed_rope(c, c.listed.positions)
        return
    if c.kind.tree:
        _load_tree_rope(c, position)
        return
    b.emit("S_MUL_INT", offset, position, b.const(vlen))
    b.emit("H_PREFETCH_V", c.v(v.cosines), offset, A_TABLES, 0, c.table_precision)
    b.add(offset, c.positions * vlen)
    b.emit("H_PREFETCH_V", c.v(v.sines), offset, A_TABLES, 0, c.table_precision)


def _load_tree_rope(c: Context, position: int) -> None:
    """The same of a tree, whose nodes of one depth all stand at the same position."""
    b, v, vlen, width = c.b, c.vectors, c.dims.view.vlen, c.kind.tree
    b.stride(0)
    with b.reg() as offset:
        for depth in range(ceil_div(c.kind.q_rows - 1, width) + 1):
            first = (depth - 1) * width + 1 if depth else 0
            b.h_rows(min(width, c.kind.q_rows - first) if depth else 1, vlen, 0)
            b.emit("S_ADDI_INT", offset, position, depth)
            b.emit("S_MUL_INT", offset, offset, b.const(vlen))
            b.emit("H_PREFETCH_V", c.v(v.cosines + first), offset, A_TABLES, 1, c.table_precision)
            b.add(offset, c.positions * vlen)
            b.emit("H_PREFETCH_V", c.v(v.sines + first), offset, A_TABLES, 1, c.table_precision)


def _load_listed_rope(c: Context, positions: int) -> None:
    """The same of rows that stand anywhere: one by one, and what is a run as one."""
    b, v, vlen = c.b, c.vectors, c.dims.view.vlen
    with (
        b.reg(positions) as place,
        b.reg(v.cosines * vlen) as cosines,
        b.reg(v.sines * vlen) as sines,
        b.reg() as offset,
    ):
        for rows, trips in ((1, Word(Cell.LOOSE)), (Word(Cell.RUN), Word(Cell.RUNS))):
            with b.loop_of(trips):
                b.h_rows(rows, vlen, 0)
                _position(b, offset, place, rows)
                b.emit("S_MUL_INT", offset, offset, b.const(vlen))
                b.emit("H_PREFETCH_V", cosines, offset, A_TABLES, 0, c.table_precision)
                b.add(offset, c.positions * vlen)
                b.emit("H_PREFETCH_V", sines, offset, A_TABLES, 0, c.table_precision)
                b.add(place, 1)
                b.add(cosines, vlen)
                b.add(sines, vlen)


def turn(c: Context, target: int, rows: Count) -> None:
    """The Hadamard transform of every head's lanes; it is its own inverse."""
    c.b.v_rows(rows)
    c.b.v_seg(c.dims.view.hlen)
    c.b.emit("C_HADAMARD_TRANSFORM", *2 * (c.v(target),))


def calibrate(c: Context, source: int, slot: int, rows: Count, *, first: bool = True) -> None:
    """Set the channel scales of the slot from rows; static scales by the program's first forward only.

    `first`: the scales start anew, else they grow as these rows need.
    """
    b = c.b
    if c.options.kv_scheme != "static":
        b.emit("K_CALIB", c.v(source), slot, int(first))
        return
    with b.loop_of(Word(Cell.RENEWS)):
        b.v_rows(rows)
        b.emit("K_CALIB", c.v(source), slot, int(first))
    b.v_rows(rows)
    b.stride(c.dims.kv.width)


def calibrates(c: Context) -> bool:
    """Whether the forward writes every row of the cache, and so sets the channel scales."""
    return c.options.smoothed and not c.partial and c.kind.kind in ("warm", "full", "prefill")
