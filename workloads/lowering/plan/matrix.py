"""How Matrix SRAM is divided: rings of weight tiles, and runs of key tiles."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs

from archsim.errors import WorkloadError
from workloads.lowering.options import LoweringOptions
from workloads.lowering.plan.classes import ForwardClass
from workloads.lowering.plan.dims import Dims, KeysTooLong, round_up
from workloads.lowering.plan.extent import Extent
from workloads.lowering.plan.stages import REST, Stage, expert_stage, head_stage, layer_stage, split_layer


@attrs.frozen(kw_only=True)
class MatrixPlan:
    """Matrix SRAM: `depth` weight tiles, then `kv_buffers` runs of key tiles from cell `kv_base` on."""

    depth: int
    kv_base: int
    kv_buffers: int
    cells: int
    """Cells used in all."""
    expert_depth: int = 0
    """Tiles of the ring of routed experts, which lies between the other tiles and the keys."""


PIECE_BUFFERS = 4
"""Two for pieces of keys and two of values; also for whole keys and values of several sequences."""


def ring_depth(stages: tuple[Stage, ...], room: int, where: str) -> int:
    """Slots of the ring: as many as fit, but one that leaves few of them idle at the end of a stage.

    A stage's tiles begin at slot 0; where its tile count is no multiple of the depth the slots left over
    stand idle until the next stage. Where it costs less than half of that, the depth is a number of tiles that lie
    on all channels alike. Raises WorkloadError where one n-tile does not fit.
    """
    need = max(gemm.k_tiles for stage in stages for gemm in stage.gemms)
    prefix = _common_prefix(stages)
    if prefix < need:
        # Between the two sweeps of row tiles sizes may differ: plans know what leads there.
        sorts = [tuple(stage for stage in stages if (stage.name == REST) == rest) for rest in (False, True)]
        prefix = min(_common_prefix(sort) for sort in sorts if sort)
    limit = min(room, prefix)
    if limit < need:
        found = f"room for {room} weight tiles in Matrix SRAM, {limit} of them usable"
        raise WorkloadError(f"{where}: {found}; expected at least {need}")

    def worth(depth: int) -> tuple[int, int]:
        idle = max(round_up(stage.tiles, depth) - stage.tiles for stage in stages)
        return depth - idle, depth

    best = max(range(need, limit + 1), key=worth)
    step = math.lcm(*[stage.even for stage in stages])
    even = max(range(round_up(need, step), limit + 1, step), key=worth, default=best)
    return even if 2 * worth(even)[0] >= worth(best)[0] else best


def _common_prefix(stages: tuple[Stage, ...]) -> int:
    """Tiles at the start of every stage that have the same size: what may be fetched ahead blindly."""
    count = 0
    for sizes in zip(*(stage.sizes() for stage in stages), strict=False):
        if len(set(sizes)) > 1:
            break
        count += 1
    return count


def with_pieces(dims: Dims, options: LoweringOptions, kinds: Sequence[ForwardClass]) -> Dims:
    """Attention by pieces of keys: half of Matrix SRAM for all buffers, a quarter of Vector SRAM for the scores.

    Raises KeysTooLong where rows have masks or operators of their own.
    """
    view = dims.view
    cells = view.mlen * view.hlen * options.kv_format.cells
    tiles = min(view.matrix_cells // 2 // (PIECE_BUFFERS * cells), view.vector_vectors // 4 // view.blen)
    odd = [
        kind for kind in kinds
        if kind.key_tiles > tiles and (kind.own_tiles(view.hlen) or kind.operators or kind.block_rows)
    ]  # fmt: skip
    if tiles < 1 or odd:
        raise KeysTooLong(f"machine {view.name}: pieces of {tiles} key tiles; expected 1 or more, and plain attention")
    return attrs.evolve(dims, piece_tiles=tiles)


def plan_matrix(dims: Dims, options: LoweringOptions, extent: Extent) -> MatrixPlan:
    """Divide Matrix SRAM; raises WorkloadError where a sequence's keys or an n-tile do not fit."""
    view = dims.view
    tiles = min(extent.key_tiles, dims.piece_tiles) if dims.piece_tiles else extent.key_tiles
    run = tiles * view.mlen * view.hlen * options.kv_format.cells
    wanted = 2 if extent.sequences == 1 and not dims.piece_tiles else PIECE_BUFFERS
    buffers = min(wanted, max(1, view.matrix_cells // 2 // run))
    where = f"machine {view.name}"
    tile = view.tile_elements * options.weight_format.cells
    room = (view.matrix_cells - buffers * run) // tile
    if room < 1 or (dims.piece_tiles and buffers < wanted):
        found = f"{extent.key_tiles} key tiles of a sequence take {run} cells of Matrix SRAM"
        raise KeysTooLong(f"{where}: {found}; expected fewer than {view.matrix_cells}")
    own = ring_depth((expert_stage(dims),), room // 2, f"{where}: experts") if dims.mixture is not None else 0
    depth = ring_depth(_stages(dims, extent), room - own, where)
    kv_base = (depth + own) * tile
    return MatrixPlan(
        depth=depth, kv_base=kv_base, kv_buffers=buffers, cells=kv_base + buffers * run, expert_depth=own
    )


def _stages(dims: Dims, extent: Extent) -> tuple[Stage, ...]:
    """Every stage that the program goes through."""
    stages: list[Stage] = []
    for mixture in layer_sorts(dims):
        stages += [layer_stage(dims, mixture=mixture)] if extent.whole else []
        stages += split_layer(dims, mixture=mixture) if extent.tiled else ()
    return (*stages, head_stage(dims, dims.stored))


def layer_sorts(dims: Dims) -> tuple[bool, ...]:
    """Sorts of layers in their order, by whether they have experts."""
    if dims.mixture is None:
        return (False,)
    return (False, True) if dims.model.dense_layers else (True,)
