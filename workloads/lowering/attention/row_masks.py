"""Query rows that see only some of the forward's own keys: those before them, or their ancestors in a tree.

Every query row has an additive mask of its own for each of the last key tiles, among which the own keys are. They
come from a table in HBM whose row i lets keys up to i - (most such rows) of a tile through, so that those of
consecutive rows lie there side by side. A tree's are put together from it: what precedes the tree, the row's own
key, and all that its parent sees.
"""

from __future__ import annotations

from archsim.errors import WorkloadError
from workloads.lowering.emit.builder import Word
from workloads.lowering.emit.context import Context
from workloads.lowering.emit.places import A_KV, A_TABLES, F_ONE, LAYER_ROW, Cell

_ONE = 1


def load_row_masks(c: Context, index: int) -> None:
    """The masks of all rows, [key tile][row]; `index` is a register with the first row's index for the last tile.

    Raises WorkloadError where rows go through the layers in tiles.
    """
    if c.tiling is not None:
        found = f"{c.kind.kind} of {c.tiling.full} rows, each with a mask of its own"
        raise WorkloadError(f"machine {c.dims.view.name}: {found}; expected all to fit Vector SRAM at once")
    assert c.tensors.row_masks is not None
    c.b.address(A_TABLES, c.tensors.row_masks.base)
    masks = c.vectors.key_mask
    before = masks + c.kind.own_tiles(c.dims.view.hlen) * c.kind.q_rows
    if c.kind.tree:
        _load(c, index, masks, 0)
        _load(c, index, before, -1)
        _keep_own(c, masks, before)
        _add_ancestors(c, masks, before)
        _to_masks(c, masks)
    elif c.kind.causal_rows == 1:
        _load(c, index, masks, 0)
    else:
        _load_groups(c, index, masks, 0)
    if c.kind.separate:
        _load_groups(c, index, before, -c.kind.causal_rows)
        _keep_own(c, masks, before)
        _add_shared(c, masks, before)
        _to_masks(c, masks)


def move_accepted(c: Context) -> None:
    """Move K and V of the nodes that a tree's forward accepts, a row of each depth, behind those of the root.

    They are read and written in the cache's format; their number is one less than the tokens that the forward commits.
    """
    b, v, dims, vlen = c.b, c.vectors, c.dims, c.dims.view.vlen
    if c.kind.tree == 1:
        return
    c.phase("kv_move")
    b.h_rows(1, dims.kv.width, 0)
    with b.reg(c.table) as row, b.loop(c.layers):
        with b.reg() as page:
            b.emit("S_LD_INT", page, row, 1)
            b.emit("C_SET_ADDR_PAGE", A_KV, page)
        for value in (False, True):
            for group in range(dims.kv.blocks):
                for mnemonic, step in (("H_PREFETCH_V", c.kind.tree), ("H_STORE_V", 1)):
                    with (
                        c.offset(Cell.KV_WRITE, c.kv_offset(value, 0, group)) as place,
                        b.reg(v.sampling * vlen) as target,
                        b.loop_of(Word(Cell.ACCEPTED)),
                    ):
                        b.add(place, step * dims.kv.width)
                        b.emit(mnemonic, target, place, A_KV, 0, c.options.kv_format.code)
                        b.add(target, vlen)
        b.add(row, LAYER_ROW)


def _load(c: Context, index: int, target: int, shift: int) -> None:
    """Consecutive rows of the table for every tile, moved by `shift`."""
    b, view, tiles = c.b, c.dims.view, c.kind.own_tiles(c.dims.view.hlen)
    b.h_rows(c.query_rows, view.vlen, 0)
    with b.reg() as offset:
        for tile in range(tiles):
            b.emit("S_ADDI_INT", offset, index, (tiles - 1 - tile) * view.hlen + 1 + shift)
            b.emit("S_MUL_INT", offset, offset, b.const(view.vlen))
            b.emit("H_PREFETCH_V", c.v(target + tile * c.kind.q_rows), offset, A_TABLES, 0, c.table_precision)


def _load_groups(c: Context, index: int, target: int, shift: int) -> None:
    """One table row for all rows of a group: that which lets the last of its keys through, or one by `shift`."""
    b, view, tiles = c.b, c.dims.view, c.kind.own_tiles(c.dims.view.hlen)
    size = c.kind.causal_rows
    b.h_rows(size, view.vlen, 0)
    b.stride(0)
    with b.reg() as offset:
        for tile in range(tiles):
            for first in range(0, c.kind.q_rows, size):
                b.emit("S_ADDI_INT", offset, index, (tiles - 1 - tile) * view.hlen + first + size + shift)
                b.emit("S_MUL_INT", offset, offset, b.const(view.vlen))
                place = c.v(target + tile * c.kind.q_rows + first)
                b.emit("H_PREFETCH_V", place, offset, A_TABLES, 1, c.table_precision)


def _keep_own(c: Context, masks: int, before: int) -> None:
    """From masks up to the row (or group) and up to the one before it to ones for what lies between, else zeros."""
    b, rows = c.b, c.kind.q_rows
    tiles = c.kind.own_tiles(c.dims.view.hlen)
    b.v_rows(tiles * rows)
    for place in (masks, before):
        b.emit("V_EXP_V", *2 * (c.v(place),))
    b.emit("V_SUB_VV", *2 * (c.v(masks),), c.v(before))


def _add_shared(c: Context, masks: int, before: int) -> None:
    """Add to every row the ones of what lies before all rows."""
    b, rows = c.b, c.kind.q_rows
    b.v_rows(rows, 1, 0)
    for tile in range(c.kind.own_tiles(c.dims.view.hlen)):
        b.emit("V_ADD_VV", *2 * (c.v(masks + tile * rows),), c.v(before + tile * rows))


def _add_ancestors(c: Context, masks: int, before: int) -> None:
    """Add to the first row the ones of what lies before all rows, and to every other row those of its parent."""
    b, vlen, rows = c.b, c.dims.view.vlen, c.kind.q_rows
    b.v_rows(c.kind.own_tiles(c.dims.view.hlen), rows, rows)
    b.emit("V_ADD_VV", *2 * (c.v(masks),), c.v(before))
    with b.reg(c.parents) as word, b.reg((masks + 1) * vlen) as row, b.reg() as parent, b.loop(rows - 1):
        b.emit("S_LD_INT", parent, word, 0)
        b.add(parent, masks * vlen)
        b.emit("V_ADD_VV", row, row, parent)
        b.add(word, 1)
        b.add(row, vlen)


def _to_masks(c: Context, masks: int) -> None:
    """Ones (or more) to 0, zeros to minus infinity."""
    b = c.b
    b.emit("S_LD_FP", _ONE, 0, F_ONE)
    b.v_rows(c.kind.own_tiles(c.dims.view.hlen) * c.kind.q_rows)
    b.emit("V_RECI_V", *2 * (c.v(masks),))
    b.emit("V_SUB_VF", *2 * (c.v(masks),), _ONE, 0, 1)


def parent(row: int, width: int) -> int:
    """The parent of a node of a made-up tree: `width` nodes at each depth, all below the last one of the depth before.

    So node depth x width is the only one that others stand below, and the nodes of a depth follow each other.
    """
    return (row - 1) // width * width
