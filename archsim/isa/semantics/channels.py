"""Cache rows whose scale blocks lie along channels: 32 rows of a lane share a scale and a zero point.

Codes lie in HBM as those of any cache; pairs of (scale, zero) lie a group of rows after another, by lane. A store that
covers a group in part reads the rows that are there, and writes the whole group with new scales and zero
points. Rows of the group that nothing has written are left out.
"""

from __future__ import annotations

import numpy as np

from archsim.isa.formats import Format, channel_groups
from archsim.isa.semantics.asymmetric import Groups, dequantise_asymmetric, quantise_asymmetric
from archsim.isa.semantics.hbm import Hbm
from archsim.isa.semantics.numbers import Reals
from archsim.isa.semantics.rounding import Floats
from archsim.isa.semantics.state import Call, CoreState, Write
from archsim.isa.semantics.storage import Bytes8, nibbles, pack, pairs


def _format(call: Call) -> Format:
    fmt = call.step.format
    assert fmt is not None
    return fmt


def read_channels(core: CoreState, call: Call, base: int, element: int, rows: int, width: int) -> Floats:
    """Values (rows, width) from `element` on, the first of a group; raises MemoryFault."""
    fmt = _format(call)
    if not fmt.asymmetric or element % (fmt.block * width):
        expected = f"the first of {fmt.block} rows in a format with zero points"
        core.fault(call, f"HBM element {element} in {fmt.name}; expected {expected}")
    codes = core.read_hbm(call, base + element * fmt.bits // 8, fmt.code_bytes(rows * width))
    return _values(core, call, base, element, nibbles(codes).reshape(rows, width))


def _values(core: CoreState, call: Call, base: int, element: int, codes: Bytes8) -> Floats:
    """What codes (rows, width) stand for, whose groups begin at `element`."""
    fmt, (rows, width) = _format(call), codes.shape
    low, groups = base + call.sticky.scale + fmt.scale_bytes(element), -(-rows // fmt.block)
    read = core.read_hbm(call, low, fmt.scale_bytes(groups * fmt.block * width), " (scales)")
    pair = read.view("<f2").reshape(groups, width, 2)
    return dequantise_asymmetric(Groups(codes, pair[..., 0], pair[..., 1]), fmt.block, 0).astype(np.float32)


def write_channels(core: CoreState, call: Call, base: int, element: int, rows: Floats | Reals) -> list[Write]:
    """Store rows (rows, width) from `element` on, merged into their groups; raises ProgramFault, MemoryFault."""
    count, width = rows.shape
    found = channel_groups(element, count, width, call.sticky.stride, _format(call))
    if isinstance(found, str):
        core.wrong(call, found)
    writes, first = [], element // width
    for group in found[0]:
        writes += _write_group(core, call, base, group, first, rows)
    return writes


def _write_group(core: CoreState, call: Call, base: int, group: int, first: int, rows: Floats | Reals) -> list[Write]:
    """One group, with those of the rows (of the slab from its row `first` on) that belong to it."""
    fmt, width, hbm = _format(call), rows.shape[1], core.hbm
    start, row_bytes = group * fmt.block * width, fmt.code_bytes(width)
    low, scales = base + start * fmt.bits // 8, base + call.sticky.scale + fmt.scale_bytes(start)
    core.check_hbm(call, low, fmt.block * row_bytes)
    core.check_hbm(call, scales, fmt.scale_bytes(fmt.block * width))
    places = np.arange(group * fmt.block, (group + 1) * fmt.block) - first
    new = (places >= 0) & (places < len(rows))
    there = np.array([hbm.missing(low + row * row_bytes, row_bytes) is None for row in range(fmt.block)])
    values = np.zeros((fmt.block, width), np.float32)
    if (there & ~new).any():
        codes = nibbles(hbm.read(low, fmt.block * row_bytes)).reshape(fmt.block, width)
        values = _values(core, call, base, start, codes)
    values[new] = rows[places[new]]
    held = np.flatnonzero(there | new)
    stored = quantise_asymmetric(values[held].astype(np.float64), fmt.bits, fmt.block, 0)
    writes = [_write(hbm, low + row * row_bytes, pack(codes)) for row, codes in zip(held, stored.codes, strict=True)]
    return [*writes, _write(hbm, scales, pairs(stored.scale, stored.zero))]


def _write(hbm: Hbm, low: int, data: Bytes8) -> Write:
    return Write(lambda: hbm.write(low, data))
