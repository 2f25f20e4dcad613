"""Instructions that move data off the core: HBM to and from the SRAMs, and core to core.

A row of elements lies in HBM as its codes at base + element * bits / 8, and its scales at base + the
scale offset + element / 32. Rows that follow each other without a gap are one run of elements.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from archsim.isa.formats import KV, KV_BY_CHANNEL, Format
from archsim.isa.semantics.channels import read_channels
from archsim.isa.semantics.numbers import Reals
from archsim.isa.semantics.rounding import Floats
from archsim.isa.semantics.state import Call, Content, CoreState, Tile, Write
from archsim.isa.semantics.storage import decode, encode

_KEPT = 8192
"""Decoded weight tiles that are remembered; all are dropped beyond that."""


def _format(call: Call) -> Format:
    fmt = call.step.format
    assert fmt is not None
    return fmt


def _spans(core: CoreState, call: Call, base: int, element: int, count: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """(address, bytes) of the codes and of the scales of a run of elements; raises MemoryFault outside HBM."""
    fmt = _format(call)
    if fmt.block and element % fmt.block:
        core.fault(call, f"HBM element {element}; expected a multiple of the {fmt.block}-element scale block")
    codes = base + element * fmt.bits // 8, fmt.code_bytes(count)
    scales = (0, 0)
    if fmt.block:
        scales = base + call.sticky.scale + fmt.scale_bytes(element), fmt.scale_bytes(count)
    for low, size in (codes, scales):
        core.check_hbm(call, low, size)
    return codes, scales


def read_run(core: CoreState, call: Call, base: int, element: int, count: int) -> Floats:
    """Values of `count` elements; raises MemoryFault where HBM holds none."""
    codes, scales = _spans(core, call, base, element, count)
    read = core.read_hbm(call, *codes)
    return decode(read, core.read_hbm(call, *scales, " (scales)"), _format(call), count)


def write_run(core: CoreState, call: Call, base: int, element: int, values: Floats | Reals) -> list[Write]:
    """Quantise and store a run of elements (n,)."""
    (code_low, _), (scale_low, scale_size) = _spans(core, call, base, element, len(values))
    codes, scales = encode(values, _format(call))
    hbm = core.hbm
    writes = [Write(lambda: hbm.write(code_low, codes))]
    if scale_size:
        writes.append(Write(lambda: hbm.write(scale_low, scales)))
    return writes


def write_rows(
    core: CoreState, call: Call, base: int, element: int, values: Floats | Reals, pitch: int
) -> list[Write]:
    """Quantise and store rows (rows, width), `pitch` elements apart."""
    count, width = values.shape
    if pitch == width or count == 1:
        return write_run(core, call, base, element, values.reshape(count * width))
    writes = []
    for index in range(count):
        writes += write_run(core, call, base, element + index * pitch, values[index])
    return writes


def _read_rows(core: CoreState, call: Call, base: int, elements: Sequence[int], width: int) -> Floats:
    """Rows (rows, width) that begin at the given elements."""
    if all(after - before == width for before, after in zip(elements, elements[1:], strict=False)):
        return read_run(core, call, base, elements[0], len(elements) * width).reshape(-1, width)
    return np.stack([read_run(core, call, base, element, width) for element in elements])


def prefetch_matrix(core: CoreState, call: Call) -> list[Write]:
    """Tiles to Matrix SRAM: of weights, or (precision 1 or 8) of a cache.

    A weight tile is BLEN runs of equal length; a cache tile is rows of as many lanes as C_SET_STRIDE_REG
    says (0: VLEN), as K_STORE writes them.
    """
    target, offset, base, strided, precision = call.arguments
    shape, sticky = core.shape, call.sticky
    kv = precision in (KV, KV_BY_CHANNEL)
    elements = sticky.fetch_elements or shape.mlen * (shape.hlen if kv else shape.blen)
    pitch = sticky.stride if strided else elements
    width = cache_lanes(core, call) if kv else elements // shape.blen
    high = shape.hlen if kv else shape.blen
    if not width or elements % width or elements // width > high or width > shape.mlen:
        rows = f"1..{high} tokens of {width} lanes" if kv else f"{shape.blen} runs of up to {shape.mlen}"
        core.wrong(call, f"tiles of {elements} elements; expected {rows}")
    cells = shape.tile_kv if kv else shape.tile_weight
    writes = []
    for index in range(sticky.fetch_tiles):
        low = target + index * cells
        content = _tile(core, call, base, offset + index * pitch, elements, width, keep=not kv)
        writes.append(core.put_tile(call, low, Tile(low + cells, kv, content)))
    return writes


def _tile(core: CoreState, call: Call, base: int, element: int, count: int, width: int, *, keep: bool) -> Content:
    """A tile's values (rows, width); with `keep` they are decoded once as long as HBM does not change."""
    if call.step.by_channel:
        return Content(read_channels(core, call, base, element, count // width, width))
    if not keep:
        return Content(read_run(core, call, base, element, count).reshape(-1, width))
    hbm, fmt = core.hbm, _format(call)
    codes, scales = _spans(core, call, base, element, count)
    key = (codes, scales, fmt.name, width)
    stamp = hbm.stamp(*codes) + (hbm.stamp(*scales) if scales[1] else ())
    found = hbm.kept.get(key)
    if found is not None and found[0] == stamp:
        content: Content = found[1]
        return content
    if len(hbm.kept) >= _KEPT:
        hbm.kept.clear()
    values = read_run(core, call, base, element, count)
    _check_numbers(core, call, base, element, values)
    content = Content(values.reshape(-1, width))
    hbm.kept[key] = stamp, content
    return content


def _check_numbers(core: CoreState, call: Call, base: int, element: int, values: Floats) -> None:
    """Raise MemoryFault for a NaN among weights or table rows, which come from outside; activations may become NaN."""
    lost = np.isnan(values)
    if lost.any():
        first = element + int(np.argmax(lost))
        at = base + first * _format(call).bits // 8
        region = core.hbm.region(at)
        core.fault(call, f"NaN in HBM at byte {at}{f', in tensor {region}' if region else ''}; expected numbers")


def cache_lanes(core: CoreState, call: Call) -> int:
    """Lanes of a cache row."""
    return min(core.shape.vlen, call.sticky.stride or core.shape.vlen)


def _transfer(core: CoreState, call: Call, default: int) -> tuple[int, int, int, int]:
    """(rows, elements per row, column blocks, vectors from one column block to the next)."""
    sticky, vlen = call.sticky, core.shape.vlen
    rows, width = sticky.h_rows or default, sticky.h_width or vlen
    return rows, width, -(-width // vlen), sticky.h_pitch or rows


def _land(core: CoreState, call: Call, target: int, values: Floats, blocks: int, pitch: int) -> list[Write]:
    """Rows to Vector SRAM by column blocks; zeros fill the last vector of a row."""
    vlen, rows = core.shape.vlen, len(values)
    padded = np.zeros((rows, blocks * vlen), np.float32)
    padded[:, : values.shape[1]] = core.round(values)
    return [
        core.put(call, target + block * pitch * vlen, padded[:, block * vlen : (block + 1) * vlen], rows, 1)
        for block in range(blocks)
    ]


def prefetch_vectors(core: CoreState, call: Call) -> list[Write]:
    """HBM rows to Vector SRAM."""
    target, offset, base, strided, _ = call.arguments
    rows, width, blocks, block_pitch = _transfer(core, call, core.shape.prefetch_v_rows)
    pitch = call.sticky.stride if strided else width
    values = _read_rows(core, call, base, [offset + row * pitch for row in range(rows)], width)
    return _land(core, call, target, values, blocks, block_pitch)


def store_vectors(core: CoreState, call: Call) -> list[Write]:
    """Vector SRAM rows to HBM, quantised."""
    source, offset, base, strided, _ = call.arguments
    rows, width, blocks, block_pitch = _transfer(core, call, core.shape.store_v_rows)
    pitch, vlen = call.sticky.stride if strided else width, core.shape.vlen
    parts = [core.read(call, source + block * block_pitch * vlen, rows, 1) for block in range(blocks)]
    values = np.concatenate(parts, axis=1)[:, :width]
    return write_rows(core, call, base, offset, values, pitch)


def gather(core: CoreState, call: Call) -> list[Write]:
    """Table rows of the ids that INT_MEM holds, whatever ids the header gives for timing."""
    target, address, base, _ = call.arguments
    rows, width, blocks, block_pitch = _transfer(core, call, 1)
    ids = core.read_ints(call, address, rows)
    values = np.stack([read_run(core, call, base, int(row) * width, width) for row in ids])
    if np.isnan(values).any():
        row = int(np.argmax(np.isnan(values).any(axis=1)))
        _check_numbers(core, call, base, int(ids[row]) * width, values[row])
    return _land(core, call, target, values, blocks, block_pitch)


def put(core: CoreState, call: Call) -> list[Write]:
    """Rows to another core, where they replace what is there or are added to it."""
    target, source, number, accumulate = call.arguments
    if not 0 <= number < core.shape.cores:
        core.wrong(call, f"core {number}; expected one of 0..{core.shape.cores - 1}")
    sticky, peer = call.sticky, core.peers[number]
    values = core.read(call, source, sticky.v_rows, sticky.v_stride).copy()
    if not accumulate:
        return [peer.put(call, target, values, sticky.v_rows, sticky.v_stride)]

    def arrive() -> None:
        there = peer.read(call, target, sticky.v_rows, sticky.v_stride)
        peer.put(call, target, core.round(there + values), sticky.v_rows, sticky.v_stride).apply()

    peer.rows(call, target, sticky.v_rows, sticky.v_stride)
    return [Write(arrive)]
