"""Instructions of the tensor core: tiles of products into the accumulator, and out of it.

The vector operand is quantised to the program's activation format as it enters the array. Within 32
terms of the reduction (one scale block) products are summed exactly; those sums are added one after
another in the accumulator, which rounds after each addition (see `dot`). Where no operand has scales, the
whole tile's reduction counts as one sum, taken in float64.

A weight tile is stored by output: BLEN runs of k elements, so that scale blocks lie along the
reduction; M_TMM and M_TMV read it as k runs of BLEN. A cache tile is (tokens, lanes).
"""

from __future__ import annotations

import numpy as np

from archsim.isa.semantics.rounding import ROUNDINGS, Floats, same, through
from archsim.isa.semantics.scalar import Unit
from archsim.isa.semantics.state import Call, Content, CoreState, Write


def _operand(core: CoreState, call: Call, address: int, rows: int, width: int, heads: int = 0) -> Floats:
    """Rows of the vector operand as the array takes them: quantised, and cut to sums.

    Their first `width` lanes as (blocks, rows, terms); with `heads` those of each packed head, as (blocks, heads,
    rows, terms).
    """
    where = core.rows(call, address, rows, 1)
    key = (where.start, where.stop, width, heads)
    found = core.operands.get(key)
    if found is not None and max(core.stamps[where]) <= found[0]:
        return found[1]
    values, fmt = core.read(call, address, rows, 1), core.shape.formats.activations
    if heads:
        packed = through(values, fmt)[:, : heads * core.shape.hlen].reshape(rows, heads, -1)
        terms = core.products[1].cut(packed[:, :, :width].swapaxes(0, 1))
    else:
        terms = core.products[0].cut(through(values[:, :width], fmt))
    if len(core.operands) > 256:
        core.operands.clear()
    core.operands[key] = core.clock, terms
    return terms


def _accumulate(core: CoreState, call: Call, parts: Floats) -> None:
    """Add sums (blocks, rows, columns) one after another to the accumulator's first rows."""
    accumulator, (_, rows, columns) = core.tensors[call.unit], parts.shape
    sums, rounding = accumulator.values, ROUNDINGS[core.shape.accumulator]
    exact = parts.dtype == np.float32 and rounding is same
    if sums is None and exact and rows == core.shape.blen:
        # Over its first axis numpy adds one after another too.
        accumulator.values = np.add.reduce(parts, axis=0)
        return
    if sums is None:
        sums = np.zeros((core.shape.blen, columns), np.float32)
    elif sums.shape[1] != columns:
        core.wrong(call, f"the accumulator holds {sums.shape[1]} columns; expected a drain before one of {columns}")
    used = sums[:rows]
    if exact:
        for part in parts:
            used = used + part
    else:
        for part in parts:
            # Added in the precision of the part and rounded once, to float32 first.
            used = rounding((used + part).astype(np.float32))
    sums[:rows] = used
    accumulator.values = sums


def _multiply(core: CoreState, call: Call, rows: int, vector: int, matrix: int, *, transposed: bool) -> list[Write]:
    sticky = call.sticky
    for index in range(sticky.m_tiles):
        if index:
            vector += sticky.m_stride * core.shape.vlen
            matrix += core.shape.tile_weight
        tile = core.tile(call, matrix, kv=False)
        weights = tile.cut.get(transposed)
        if weights is None:
            weights = tile.cut[transposed] = _weights(core, tile, transposed=transposed)
        width = tile.values.size // core.shape.blen if transposed else tile.values.shape[1]
        operand = _operand(core, call, vector, rows, width)
        _accumulate(core, call, operand @ weights)
    return []


def _weights(core: CoreState, tile: Content, *, transposed: bool) -> Floats:
    """A weight tile (blocks, terms, BLEN)."""
    values = tile.values.reshape(-1, core.shape.blen).T if transposed else tile.values
    return core.products[0].cut(values).swapaxes(-1, -2)


def multiply(core: CoreState, call: Call) -> list[Write]:
    """acc += Vector[rs2] @ Matrix[rs1]."""
    matrix, vector = call.arguments
    return _multiply(core, call, call.sticky.m_rows, vector, matrix, transposed=False)


def multiply_transposed(core: CoreState, call: Call) -> list[Write]:
    """acc += Vector[rs1] @ Matrix[rs2] transposed."""
    vector, matrix = call.arguments
    return _multiply(core, call, call.sticky.m_rows, vector, matrix, transposed=True)


def row_multiply(core: CoreState, call: Call) -> list[Write]:
    """acc row += Vector[rs1] @ Matrix[rs2]."""
    vector, matrix = call.arguments
    return _multiply(core, call, 1, vector, matrix, transposed=False)


def row_multiply_transposed(core: CoreState, call: Call) -> list[Write]:
    """acc row += Vector[rs1] @ Matrix[rs2] transposed."""
    vector, matrix = call.arguments
    return _multiply(core, call, 1, vector, matrix, transposed=True)


def _heads(core: CoreState, call: Call, lanes: int) -> list[int]:
    """The KV head of every packed query head whose KV head the tile of `lanes` lanes holds: of the first ones."""
    hlen, sticky = core.shape.hlen, call.sticky
    heads = [(sticky.first_head + head) // sticky.group for head in range(core.shape.mlen // hlen)]
    return [head for head in heads if (head + 1) * hlen <= lanes]


def _by_head(core: CoreState, call: Call, tile: Content, *, by_token: bool) -> Floats:
    """A cache tile by packed query head: (blocks, heads, terms, outputs).

    Terms are lanes and outputs tokens, or the other way round for `by_token`.
    """
    cut = tile.cut.get(by_token)
    if cut is None:
        tokens, lanes = tile.values.shape
        hlen = core.shape.hlen
        heads = tile.values[:, : lanes // hlen * hlen].reshape(tokens, -1, hlen)
        terms = heads.transpose(1, 2, 0) if by_token else heads.swapaxes(0, 1)
        cut = tile.cut[by_token] = core.products[1].cut(terms).swapaxes(-1, -2)
    wanted = _heads(core, call, tile.values.shape[1])
    return cut if wanted == list(range(cut.shape[1])) else cut[:, wanted]


def _attend(core: CoreState, call: Call, rows: int, matrix: int, vector: int, *, by_token: bool) -> None:
    """Packed heads: lane h * HLEN + j of a row is its head h times token j of a tile; `by_token`, lane j of it."""
    shape, sticky = core.shape, call.sticky
    heads = shape.mlen // shape.hlen
    for index in range(sticky.m_tiles):
        tile = core.tile(call, matrix + index * shape.tile_kv, kv=True)
        right = _by_head(core, call, tile, by_token=by_token)
        address = vector + index * sticky.m_stride * shape.vlen
        operand = _operand(core, call, address, rows, len(tile.values) if by_token else shape.hlen, heads=heads)
        held = right.shape[1]
        if held:
            part = operand[:, :held] @ right
            sums = np.zeros((len(part), rows, heads, shape.hlen), part.dtype)
            sums[:, :, :held, : part.shape[3]] = part.swapaxes(1, 2)
            _accumulate(core, call, sums.reshape(len(part), rows, -1))


def batched_outputs(core: CoreState, call: Call) -> list[Write]:
    """Per packed head: acc += Vector[rs2] @ Matrix[rs1]."""
    _attend(core, call, call.sticky.m_rows, *call.arguments, by_token=True)
    return []


def batched_scores(core: CoreState, call: Call) -> list[Write]:
    """Per packed head: acc += Vector[rs2] @ Matrix[rs1] transposed."""
    _attend(core, call, call.sticky.m_rows, *call.arguments, by_token=False)
    return []


def row_outputs(core: CoreState, call: Call) -> list[Write]:
    """Per packed head, one row: acc += Vector[rs1] @ Matrix[rs2]."""
    _attend(core, call, 1, call.arguments[1], call.arguments[0], by_token=True)
    return []


def row_scores(core: CoreState, call: Call) -> list[Write]:
    """Per packed head, one row: acc += Vector[rs1] @ Matrix[rs2] transposed."""
    _attend(core, call, 1, call.arguments[1], call.arguments[0], by_token=False)
    return []


def _drain(*, packed: bool, one_row: bool) -> Unit:
    def run(core: CoreState, call: Call) -> list[Write]:
        """Write the accumulator's rows to Vector[rd + imm] and clear it."""
        shape = core.shape
        columns = shape.mlen if packed else shape.blen
        rows = 1 if one_row else call.sticky.m_rows
        accumulator = core.tensors[call.unit]
        sums = accumulator.values
        if sums is None:
            sums = np.zeros((shape.blen, columns), np.float32)
        elif sums.shape[1] != columns:
            core.wrong(call, f"the accumulator holds {sums.shape[1]} columns; expected {columns}")
        accumulator.values = None
        address = call.arguments[0] + call.arguments[-1]
        return [core.put_lanes(call, address, core.round(sums[:rows]), 1)]

    return run


drain = _drain(packed=False, one_row=False)
drain_packed = _drain(packed=True, one_row=False)
drain_row = _drain(packed=False, one_row=True)
drain_packed_row = _drain(packed=True, one_row=True)
