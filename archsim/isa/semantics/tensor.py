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

from archsim.isa.semantics.numbers import NUMBERS, Reals
from archsim.isa.semantics.rounding import ROUNDINGS, Floats, same, through
from archsim.isa.semantics.scalar import Unit
from archsim.isa.semantics.state import Call, CoreState, Write

_BLOCK = 32


def _operand(core: CoreState, call: Call, address: int, rows: int, width: int) -> Floats:
    """Rows of the vector operand as the array takes them: their first `width` lanes, quantised."""
    where = core.rows(call, address, rows, 1)
    key = (where.start, where.stop, width)
    found = core.operands.get(key)
    if found is not None and int(core.stamps[where].max()) <= found[0]:
        return found[1]
    values = through(core.read(call, address, rows, 1)[:, :width], core.shape.activations)
    if len(core.operands) > 256:
        core.operands.clear()
    core.operands[key] = core.clock, values
    return values


def _scaled(core: CoreState, *, kv: bool) -> bool:
    shape = core.shape
    return bool(shape.activations.block or (shape.kv if kv else shape.weights).block)


def _exact_in_float32(core: CoreState, *, kv: bool) -> bool:
    """Integer codes: 32 products of at most 8 x 8 bits need 20 bits."""
    shape = core.shape
    formats = (shape.activations, shape.kv if kv else shape.weights)
    return all(fmt.block == _BLOCK and NUMBERS[fmt.name].element is None for fmt in formats)


def _accumulate(core: CoreState, call: Call, parts: Floats | Reals) -> None:
    """Add sums (blocks, rows, columns) one after another to the accumulator's first rows."""
    accumulator, rows, columns = core.tensors[call.unit], parts.shape[1], parts.shape[2]
    sums = accumulator.values
    if sums is None:
        sums = np.zeros((core.shape.blen, columns), np.float32)
    elif sums.shape[1] != columns:
        core.wrong(call, f"the accumulator holds {sums.shape[1]} columns; expected a drain before one of {columns}")
    rounding = ROUNDINGS[core.shape.accumulator]
    used = sums[:rows]
    for part in parts:
        # Added in the precision of the part and rounded once, to float32 first.
        np.add(used, part, out=used, casting="same_kind")
        if rounding is not same:
            used[:] = rounding(used)
    accumulator.values = sums


def _blocks(values: Floats, size: int) -> Floats:
    """(rows, k) cut along k: (blocks, rows, size), zeros behind the end."""
    rows, width = values.shape
    short = -width % size
    if short:
        values = np.concatenate([values, np.zeros((rows, short), np.float32)], axis=1)
    return values.reshape(rows, -1, size).transpose(1, 0, 2)


def _multiply(core: CoreState, call: Call, rows: int, vector: int, matrix: int, *, transposed: bool) -> list[Write]:
    sticky, blen = call.sticky, core.shape.blen
    for index in range(sticky.m_tiles):
        tile = core.tile(call, matrix + index * core.shape.tile_weight, kv=False)
        weights = tile.reshape(-1, blen).T if transposed else tile
        address = vector + index * sticky.m_stride * core.shape.vlen
        operand = _operand(core, call, address, rows, weights.shape[1])
        _accumulate(core, call, _products(core, operand, weights, kv=False))
    return []


def _products(
    core: CoreState, left: Floats, right: Floats, *, kv: bool
) -> Floats | Reals:
    """Sums (blocks, rows, outputs) of left (rows, k) times right (outputs, k)."""
    if not _scaled(core, kv=kv):
        return (left.astype(np.float64) @ right.astype(np.float64).T)[None]
    a, b = _blocks(left, _BLOCK), _blocks(right, _BLOCK).transpose(0, 2, 1)
    if _exact_in_float32(core, kv=kv):
        return a @ b
    return a.astype(np.float64) @ b.astype(np.float64)


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


def _heads(core: CoreState, call: Call, lanes: int) -> list[tuple[int, slice]]:
    """(packed query head, lanes of its KV head) of every head whose KV head the tile holds."""
    hlen, sticky = core.shape.hlen, call.sticky
    pairs = []
    for head in range(core.shape.mlen // hlen):
        low = (sticky.first_head + head) // sticky.group * hlen
        if low + hlen <= lanes:
            pairs.append((head, slice(low, low + hlen)))
    return pairs


def _scores(core: CoreState, call: Call, rows: int, matrix: int, vector: int) -> None:
    """Packed Q.K: lane h * HLEN + j of a row is its head h against token j."""
    shape, sticky = core.shape, call.sticky
    for index in range(sticky.m_tiles):
        keys = core.tile(call, matrix + index * shape.tile_kv, kv=True)
        address = vector + index * sticky.m_stride * shape.vlen
        queries = _operand(core, call, address, rows, shape.vlen)
        sums = None
        for head, lanes in _heads(core, call, keys.shape[1]):
            query = queries[:, head * shape.hlen : (head + 1) * shape.hlen]
            part = _products(core, query, keys[:, lanes], kv=True)
            if sums is None:
                sums = np.zeros((len(part), rows, shape.mlen), part.dtype)
            sums[:, :, head * shape.hlen : head * shape.hlen + len(keys)] = part
        if sums is not None:
            _accumulate(core, call, sums)


def _outputs(core: CoreState, call: Call, rows: int, matrix: int, vector: int) -> None:
    """Packed P.V: lanes of head h are its weights of the tile's tokens times their values."""
    shape, sticky = core.shape, call.sticky
    for index in range(sticky.m_tiles):
        values = core.tile(call, matrix + index * shape.tile_kv, kv=True)
        address = vector + index * sticky.m_stride * shape.vlen
        weights = _operand(core, call, address, rows, shape.vlen)
        sums = None
        for head, lanes in _heads(core, call, values.shape[1]):
            low = head * shape.hlen
            part = _products(core, weights[:, low : low + len(values)], values[:, lanes].T, kv=True)
            if sums is None:
                sums = np.zeros((len(part), rows, shape.mlen), part.dtype)
            sums[:, :, low : low + shape.hlen] = part
        if sums is not None:
            _accumulate(core, call, sums)


def batched_outputs(core: CoreState, call: Call) -> list[Write]:
    """Per packed head: acc += Vector[rs2] @ Matrix[rs1]."""
    _outputs(core, call, call.sticky.m_rows, *call.arguments)
    return []


def batched_scores(core: CoreState, call: Call) -> list[Write]:
    """Per packed head: acc += Vector[rs2] @ Matrix[rs1] transposed."""
    _scores(core, call, call.sticky.m_rows, *call.arguments)
    return []


def row_outputs(core: CoreState, call: Call) -> list[Write]:
    """Per packed head, one row: acc += Vector[rs1] @ Matrix[rs2]."""
    _outputs(core, call, 1, call.arguments[1], call.arguments[0])
    return []


def row_scores(core: CoreState, call: Call) -> list[Write]:
    """Per packed head, one row: acc += Vector[rs1] @ Matrix[rs2] transposed."""
    _scores(core, call, 1, call.arguments[1], call.arguments[0])
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
