"""Handlers of instructions that move data off the core: DMA, gather, KV store, core-to-core put."""

from __future__ import annotations

from archsim.components.decode import Decoded, Handler
from archsim.components.footprint import transfer_rows, unaligned
from archsim.components.frontend import FrontEnd
from archsim.components.issue import enter, queued
from archsim.components.operation import Operation
from archsim.components.touches import IDS, REMOTE
from archsim.components.transfer import Transfer, total
from archsim.errors import MemoryFault, ProgramFault
from archsim.isa.formats import Format, channel_groups

Extents = list[tuple[int, int]]


def _extents(front: FrontEnd, decoded: Decoded, base: int, offset: int, rows: int, width: int, pitch: int) -> Extents:
    """Byte ranges of `rows` rows of `width` elements, `pitch` elements apart, codes then scales."""
    fmt = decoded.number_format
    assert fmt is not None
    if rows == 1 or pitch == width:
        return _stretch(front, fmt, base, offset, rows * width)
    if fmt.block and pitch % fmt.block:
        raise _off_block(front, decoded, "stride", pitch, fmt)
    pairs = [_stretch(front, fmt, base, offset + row * pitch, width) for row in range(rows)]
    return [extent for part in zip(*pairs, strict=True) for extent in part]


def _stretch(front: FrontEnd, fmt: Format, base: int, offset: int, elements: int) -> Extents:
    """Byte ranges of elements in a row: codes, and scales where the format has them."""
    codes = base + offset * fmt.bits // 8, fmt.code_bytes(elements)
    if not fmt.block:
        return [codes]
    return [codes, (base + front.scale + fmt.scale_bytes(offset), fmt.scale_bytes(elements))]


def _off_block(front: FrontEnd, decoded: Decoded, what: str, value: int, fmt: Format) -> MemoryFault:
    expected = f"expected a multiple of the {fmt.block}-element scale block"
    return MemoryFault(f"{front.path}: {decoded.place}: HBM element {what} {value}; {expected}")


def _offset(front: FrontEnd, decoded: Decoded, register: int, fmt: Format) -> int:
    offset = front.value(register, decoded)
    if fmt.block and offset % fmt.block:
        raise _off_block(front, decoded, "offset", offset, fmt)
    return offset


def _touch_hbm(front: FrontEnd, decoded: Decoded, operation: Operation, transfer: Transfer, fmt: Format) -> None:
    limit = front.limits[4]
    board = front.boards[4]
    for low, size in transfer.extents:
        if low + size > limit:
            raise front.out_of_range(decoded, 4, low, low + size)
    if front.log is not None:
        front.log.extend([(4, address, size, transfer.write) for address, size in transfer.extents])
        front.log.extend([(4, address, size, False) for address, size in transfer.merged])
    touch = board.write if transfer.write else board.read
    extents, now_ps = transfer.extents, front.time_ps
    last = len(extents) // 2 - 1 if fmt.block else -1
    touch(extents[0][0], extents[last][0] + extents[last][1], operation, now_ps)
    if fmt.block:
        touch(extents[last + 1][0], extents[-1][0] + extents[-1][1], operation, now_ps)
    totals = front.phase.totals
    if transfer.write:
        totals.hbm_write_bytes += transfer.nbytes
    else:
        totals.hbm_read_bytes += transfer.nbytes


def _touch_vectors(
    front: FrontEnd, decoded: Decoded, operation: Operation, register: int, vectors: int, write: bool
) -> None:
    low = front.value(register, decoded)
    vlen = front.geometry.vlen
    high = low + vectors * vlen
    if high > front.limits[0]:
        raise front.out_of_range(decoded, 0, low, high)
    if low % vlen:
        raise unaligned(front, decoded, low)
    board = front.boards[0]
    if front.log is not None:
        front.log.append((0, low, high - low, write))
    (board.write if write else board.read)(low, high, operation, front.time_ps)
    front.check_loaded(decoded, 0, write, low, high)


@queued
def _prefetch_matrix(front: FrontEnd, decoded: Decoded, operation: Operation) -> None:
    fmt = decoded.number_format
    assert fmt is not None
    _, source, base, strided, _ = decoded.values
    geometry = front.geometry
    elements = front.fetch_elements or geometry.mlen * (geometry.hlen if decoded.stream else geometry.blen)
    offset = _offset(front, decoded, source, fmt)
    pitch = front.stride if strided else elements
    if decoded.by_channel:
        offsets = [offset + index * pitch for index in range(front.fetch_tiles)]
        extents = _channel_tiles(front, decoded, front.bases[base], offsets, elements)
    else:
        extents = _extents(front, decoded, front.bases[base], offset, front.fetch_tiles, elements, pitch)
    transfer = Transfer(extents, False, total(extents), 0)
    operation.transfer = transfer
    enter(front, decoded, operation)
    _touch_hbm(front, decoded, operation, transfer, fmt)


def _channel_tiles(front: FrontEnd, decoded: Decoded, base: int, offsets: list[int], elements: int) -> Extents:
    """Codes of cache tiles, then their scales by channel: those of a group of rows come whole."""
    fmt = decoded.number_format
    assert fmt is not None
    group = fmt.block * min(front.geometry.vlen, front.stride or front.geometry.vlen)
    for offset in offsets:
        if not fmt.asymmetric or offset % group:
            expected = f"the first of {fmt.block} rows in a format with zero points"
            raise MemoryFault(f"{front.path}: {decoded.place}: HBM element {offset} in {fmt.name}; expected {expected}")
    scales, size = base + front.scale, fmt.scale_bytes(-(-elements // group) * group)
    codes = [(base + offset * fmt.bits // 8, fmt.code_bytes(elements)) for offset in offsets]
    return codes + [(scales + fmt.scale_bytes(offset), size) for offset in offsets]


@queued
def _move_vectors(front: FrontEnd, decoded: Decoded, operation: Operation) -> None:
    fmt = decoded.number_format
    assert fmt is not None
    target, source, base, strided, _ = decoded.values
    store = decoded.mnemonic == "H_STORE_V"
    default = front.store_v_rows if store else front.prefetch_v_rows
    rows, width, blocks, block_pitch = transfer_rows(front, decoded, default)
    offset = _offset(front, decoded, source, fmt)
    pitch = front.stride if strided else width
    extents = _extents(front, decoded, front.bases[base], offset, rows, width, pitch)
    transfer = Transfer(extents, store, total(extents), rows * blocks)
    operation.transfer = transfer
    _touch_vectors(front, decoded, operation, target, (blocks - 1) * block_pitch + rows, not store)
    _touch_hbm(front, decoded, operation, transfer, fmt)


@queued
def _gather(front: FrontEnd, decoded: Decoded, operation: Operation) -> None:
    fmt = decoded.number_format
    assert fmt is not None
    target, ids, base, _ = decoded.values
    rows, width, blocks, block_pitch = transfer_rows(front, decoded, 1)
    low = front.value(ids, decoded)
    if low + rows > front.limits[3]:
        raise front.out_of_range(decoded, 3, low, low + rows)
    extents: Extents = []
    for address in range(low, low + rows):
        element = token_id(front, decoded, address) * width
        extents += _extents(front, decoded, front.bases[base], element, 1, width, width)
    transfer = Transfer(extents, False, total(extents), rows * blocks)
    operation.transfer = transfer
    front.boards[3].read(low, low + rows, operation, front.time_ps)
    if front.log is not None:
        front.log.append((IDS, low, rows, False))
        front.log.extend([(4, start, size, False) for start, size in extents])
    _touch_vectors(front, decoded, operation, target, (blocks - 1) * block_pitch + rows, True)
    # The ids may lie anywhere, so the table is read from its first to its last row used.
    codes = extents[::2] if fmt.block else extents
    first, last = min(codes), max(codes)
    front.boards[4].read(first[0], last[0] + last[1], operation, front.time_ps)
    if fmt.block:
        first, last = min(extents[1::2]), max(extents[1::2])
        front.boards[4].read(first[0], last[0] + last[1], operation, front.time_ps)
    front.phase.totals.hbm_read_bytes += transfer.nbytes
    for start, size in extents:
        if start + size > front.limits[4]:
            raise front.out_of_range(decoded, 4, start, start + size)


def token_id(front: FrontEnd, decoded: Decoded, address: int) -> int:
    """Row of the table that a gather reads: from the header's ids, else from INT_MEM itself.

    Synthetic ids are a fixed function of seed and INT_MEM address, spread over the vocabulary.
    """
    ids = front.gather_ids
    if ids.get("kind") == "synthetic":
        vocab = ids["vocab"]
        assert isinstance(vocab, int)
        seed = ids.get("seed", 0)
        assert isinstance(seed, int)
        return ((address + 1) * 2654435761 + seed * 40503) % 2**32 * vocab >> 32
    if ids.get("kind") == "recorded":
        recorded = ids["ids"]
        assert isinstance(recorded, list)
        return int(recorded[address % len(recorded)])
    known = front.int_mem[address]
    if known is None:
        raise ProgramFault(
            f"{front.path}: {decoded.place}: INT_MEM[{address}] depends on data; expected gather_ids in the header"
        )
    return known


@queued
def _kv(front: FrontEnd, decoded: Decoded, operation: Operation) -> None:
    rows = front.v_rows
    operation.cycles = rows * decoded.interval
    operation.latency = operation.cycles + decoded.latency - decoded.interval + front.kv_pipeline
    operation.rows_a = rows
    operation.rows_b = rows * (decoded.port_b if decoded.mnemonic == "K_FOLD" else 0)
    enter(front, decoded, operation)
    if decoded.mnemonic == "K_STORE":
        _store_kv(front, decoded, operation, rows)
    decoded.busy += operation.cycles


def _store_kv(front: FrontEnd, decoded: Decoded, operation: Operation, rows: int) -> None:
    fmt = decoded.number_format
    assert fmt is not None
    target, _, base, _, _ = decoded.values
    width = min(front.geometry.vlen, front.stride or front.geometry.vlen)
    offset = _offset(front, decoded, target, fmt)
    if decoded.by_channel:
        operation.transfer = transfer = _channel_groups(front, decoded, operation, offset, rows, width)
    else:
        extents = _extents(front, decoded, front.bases[base], offset, rows, width, front.stride or width)
        operation.transfer = transfer = Transfer(extents, True, total(extents), 0)
    _touch_hbm(front, decoded, operation, transfer, fmt)


def _channel_groups(
    front: FrontEnd, decoded: Decoded, operation: Operation, offset: int, rows: int, width: int
) -> Transfer:
    """A store by channels: whole groups of rows, and those that it replaces in part are read first.

    The rows pass the engine twice, for their range and for their codes, and so do those that were there.
    """
    fmt, base = decoded.number_format, front.bases[decoded.values[2]]
    assert fmt is not None
    groups = channel_groups(offset, rows, width, front.stride, fmt)
    if isinstance(groups, str):
        raise ProgramFault(f"{front.path}: {decoded.place}: {groups}")
    whole, partial = groups
    extents = _group_extents(front, base, whole, width, fmt)
    merged = [extent for group in partial for extent in _group_extents(front, base, group, width, fmt)]
    passes = 2 * len(whole) * fmt.block
    operation.latency += (passes - rows) * decoded.interval
    operation.cycles = passes * decoded.interval
    operation.rows_a = 2 * rows
    front.phase.totals.hbm_read_bytes += total(merged)
    return Transfer(extents, True, total(extents), 0, merged=merged)


def _group_extents(front: FrontEnd, base: int, groups: range, width: int, fmt: Format) -> Extents:
    """Byte ranges of whole groups of rows: codes, then scales."""
    return _stretch(front, fmt, base, groups.start * fmt.block * width, len(groups) * fmt.block * width)


def _rows_high(front: FrontEnd, low: int) -> int:
    return low + ((front.v_rows - 1) * front.v_stride + 1) * front.geometry.vlen


@queued
def _put(front: FrontEnd, decoded: Decoded, operation: Operation) -> None:
    rows = front.v_rows
    operation.rows_a = rows
    core = front.value(decoded.values[2], decoded)
    if not 0 <= core < front.cores:
        raise ProgramFault(f"{front.path}: {decoded.place}: core {core}; expected one of 0..{front.cores - 1}")
    nbytes = rows * front.geometry.vlen * 2
    target = front.value(decoded.values[0], decoded)
    if _rows_high(front, target) > front.limits[0]:
        raise front.out_of_range(decoded, 0, target, _rows_high(front, target))
    if target % front.geometry.vlen:
        raise unaligned(front, decoded, target)
    if front.log is not None:
        front.log.append((REMOTE, target, _rows_high(front, target) - target, True))
    operation.transfer = Transfer([], True, nbytes, rows, core, target, _rows_high(front, target))
    enter(front, decoded, operation)
    front.phase.totals.noc_bytes += nbytes


HANDLERS: dict[str, Handler] = {
    "H_PREFETCH_M": _prefetch_matrix,
    "H_PREFETCH_V": _move_vectors,
    "H_STORE_V": _move_vectors,
    "H_GATHER_V": _gather,
    "K_CALIB": _kv,
    "K_STORE": _kv,
    "K_FOLD": _kv,
    "N_PUT": _put,
}
"""Handlers by mnemonic."""
