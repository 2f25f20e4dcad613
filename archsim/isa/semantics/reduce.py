"""Reductions of the vector unit: whole rows into registers, segments into packed statistics.

Lanes that C_SET_V_LANES leaves out count as minus infinity for a maximum and as 0 for a sum.
"""

from __future__ import annotations

import numpy as np

from archsim.isa.semantics.rounding import Floats
from archsim.isa.semantics.state import Call, CoreState, Write
from archsim.isa.semantics.vector import first, mask_lanes, result


def _cut(core: CoreState, call: Call, rows: Floats, filler: float) -> Floats:
    """Rows with `filler` in the lanes that do not count."""
    sticky = call.sticky
    if not sticky.lanes or sticky.lanes == core.shape.vlen:
        return rows
    out = rows.copy()
    out[-1 if sticky.last_only else slice(None), sticky.lanes :] = filler
    return out


def total(core: CoreState, call: Call) -> list[Write]:
    """fd += sum of all rows."""
    register, rs1, flag, _ = call.arguments
    rows = _cut(core, call, first(core, call, rs1), 0.0)
    on = mask_lanes(core, call, flag)
    values = rows if on is None else np.where(on, rows, np.float32(0))
    repeats = call.sticky.v_rows // len(rows)
    return [core.put_f(register, core.f[register] + repeats * float(values.sum(dtype=np.float64)))]


def largest(core: CoreState, call: Call) -> list[Write]:
    """fd = max(fd, all rows)."""
    register, rs1, _ = call.arguments
    rows = _cut(core, call, first(core, call, rs1), -np.inf)
    return [core.put_f(register, float(np.maximum(np.float32(core.f[register]), rows.max())))]


def arg_largest(core: CoreState, call: Call) -> list[Write]:
    """Where the maximum exceeds fs3: fs3 = it, rd = rs2 + its lane, counted over all rows; the first wins.

    A NaN is never the maximum.
    """
    old, rs1, offset, register = call.arguments
    rows = _cut(core, call, first(core, call, rs1), -np.inf).reshape(-1)
    place = int(rows.argmax())
    if np.isnan(rows[place]):
        rows = np.where(np.isnan(rows), np.float32(-np.inf), rows)
        place = int(rows.argmax())
    best = float(rows[place])
    if best > core.f[register]:
        call.result = offset + place
        return [core.put_f(register, best)]
    call.result = old
    return []


def prefix_sums(core: CoreState, call: Call) -> list[Write]:
    """Sums of the lanes up to each lane, by row."""
    target, rs1, flag = call.arguments
    source = first(core, call, rs1)
    sums = np.cumsum(_cut(core, call, source, 0.0), axis=1, dtype=np.float64).astype(np.float32)
    on = mask_lanes(core, call, flag)
    return result(core, call, target, sums if on is None else np.where(on, sums, source))


def _segments(call: Call, rows: Floats) -> Floats:
    """(rows, segments, lanes)."""
    return rows.reshape(len(rows), -1, call.sticky.segment)


def _statistics(core: CoreState, call: Call, address: int) -> Floats:
    """The packed statistics of all rows and segments (rows, segments), as a copy."""
    count, vlen = call.sticky.v_rows * (core.shape.vlen // call.sticky.segment), core.shape.vlen
    low = address - address % vlen
    vectors = core.read(call, low, -(-(address + count - low) // vlen), 1).reshape(-1)
    return vectors[address - low : address - low + count].reshape(call.sticky.v_rows, -1).copy()


def _put_statistics(core: CoreState, call: Call, address: int, values: Floats) -> list[Write]:
    """Write packed statistics: they may begin and end inside vectors."""
    flat, vlen, writes, done = core.round(values).reshape(-1), core.shape.vlen, [], 0
    while done < len(flat):
        count = min(vlen - (address + done) % vlen, len(flat) - done)
        writes.append(core.put_lanes(call, address + done, flat[None, done : done + count], 1))
        done += count
    return writes


def segment_largest(core: CoreState, call: Call) -> list[Write]:
    """Maximum of each segment of each row; with acc, and what is there."""
    target, rs1, accumulate = call.arguments
    rows = _cut(core, call, first(core, call, rs1), -np.inf)
    values = _all_rows(call, _segments(call, rows).max(axis=2))
    if accumulate:
        values = np.maximum(values, _statistics(core, call, target))
    return _put_statistics(core, call, target, values)


def segment_total(core: CoreState, call: Call) -> list[Write]:
    """Sum of each segment of each row; with acc, added to what is there."""
    target, rs1, accumulate = call.arguments
    rows = _cut(core, call, first(core, call, rs1), 0.0)
    values = _all_rows(call, _segments(call, rows).sum(axis=2, dtype=np.float64))
    if accumulate:
        values = values + _statistics(core, call, target)
    return _put_statistics(core, call, target, values.astype(np.float32))


def _all_rows(call: Call, values: Floats) -> Floats:
    """One row stands for all where the stride is 0."""
    return np.broadcast_to(values, (call.sticky.v_rows, values.shape[1]))


def segment_subtract(core: CoreState, call: Call) -> list[Write]:
    """Each segment less its statistic."""
    target, rs1, rs2 = call.arguments
    statistics = _statistics(core, call, rs2)[:, :, None]
    values = _segments(call, first(core, call, rs1)) - statistics
    return result(core, call, target, values.reshape(call.sticky.v_rows, -1))


def segment_multiply(core: CoreState, call: Call) -> list[Write]:
    """Each segment times its statistic."""
    target, rs1, rs2 = call.arguments
    statistics = _statistics(core, call, rs2)[:, :, None]
    values = _segments(call, first(core, call, rs1)) * statistics
    return result(core, call, target, values.reshape(call.sticky.v_rows, -1))


def rotate_half(core: CoreState, call: Call) -> list[Write]:
    """(-second half, first half) of every HLEN lanes."""
    target, rs1 = call.arguments
    source = first(core, call, rs1)
    halves = source.reshape(len(source), -1, 2, core.shape.hlen // 2)
    values = np.stack([-halves[:, :, 1], halves[:, :, 0]], axis=2)
    return result(core, call, target, values.reshape(source.shape))
