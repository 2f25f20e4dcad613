"""Where everything lies in HBM and Matrix SRAM for one program."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from archsim.errors import WorkloadError
from archsim.isa.formats import Format
from workloads.lowering.emit.context import Tensors
from workloads.lowering.layers.tiled import spill_elements
from workloads.lowering.options import LoweringOptions
from workloads.lowering.plan.classes import ForwardClass
from workloads.lowering.plan.dims import SCALE_BLOCK, Dims, KeysTooLong, round_up
from workloads.lowering.plan.hbm import HbmMap, Tensor
from workloads.lowering.plan.networks import Networks
from workloads.lowering.plan.operators import kept_elements
from workloads.lowering.plan.stages import (
    REST,
    Stage,
    expert_stage,
    head_stage,
    layer_stage,
    mix_stage,
    policy_stage,
    split_layer,
)


@attrs.frozen(kw_only=True)
class Extent:
    """How large the program's tensors get: `positions` of a KV cache, `head_rows` of a sequence's logits."""

    sequences: int
    positions: int
    head_rows: int
    key_tiles: int
    masks: bool
    whole: bool
    """Whether some forwards go through the layers with all rows at once."""
    tiled: bool
    """Whether some go in row tiles."""
    policy: int = 0
    """Weights of the network that chooses rows, if any."""
    compares: bool = False
    """Whether the logits of one forward are there until the next."""
    mixed: int = 0
    """Rows that enter as mixtures of embeddings."""
    masked_rows: int = 0
    """Query rows with masks of their own."""
    masked_tiles: int = 0
    """Key tiles that they cover."""
    mixes_all: bool = False
    """Whether some of them are mixtures of all embeddings."""


def cache_rows(rows: int) -> int:
    """Rows of a KV cache slab that holds `rows`: an odd number of scale blocks.

    Slabs with an even number would start their scales in the same few channels, and the small
    scale stores of all heads and sequences would queue there while the other channels are free.
    """
    blocks = -(-rows // SCALE_BLOCK)
    return (blocks | 1) * SCALE_BLOCK


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
    stand idle until the next stage. Raises WorkloadError where one n-tile does not fit.
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

    return max(range(need, limit + 1), key=worth)


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




def _mixture_sizes(dims: Dims) -> tuple[int, int, int]:
    """Elements of a layer of experts that all rows meet, of its routed experts together; number of such layers."""
    experts = dims.model.experts
    if experts is None:
        return 0, 0, 0
    routed = dims.model.layers - dims.model.dense_layers
    return layer_stage(dims, mixture=True).elements, experts.count * expert_stage(dims).elements, routed


def place_tensors(
    dims: Dims, options: LoweringOptions, extent: Extent, networks: Networks
) -> tuple[HbmMap, Tensors]:
    """Lay out HBM; raises WorkloadError where it is too small."""
    view, model = dims.view, dims.model
    cores, depths = range(view.cores), networks.depths
    tables, logits_format = options.table_format, options.logit_format
    layer, head = layer_stage(dims).elements, head_stage(dims).elements
    cache = 2 * extent.sequences * dims.kv.padded * extent.positions
    logits = extent.sequences * dims.chunks * extent.head_rows * view.vlen
    kept = logits if options.logits == "spill" else 0

    def padded(fmt: Format, elements: int) -> int:
        return round_up(fmt.code_bytes(elements), view.layer_stride_bytes) if fmt.block else 0

    per_core = networks.total * (padded(options.weight_format, layer) + padded(options.kv_format, cache))
    mixture, experts, routed = _mixture_sizes(dims)
    if dims.mixture is not None:
        each = padded(options.weight_format, mixture) + padded(options.weight_format, experts)
        per_core += routed * (each - padded(options.weight_format, layer))
    per_core += padded(options.weight_format, head)
    policy = policy_stage(dims, extent.policy).elements
    masks = extent.masked_rows + extent.masked_tiles * view.hlen
    mixed = mix_stage(dims, 1).elements if extent.mixes_all else 0
    total = view.cores * per_core + padded(logits_format, kept)
    total += padded(options.weight_format, policy) + padded(options.weight_format, mixed)
    hbm = HbmMap(view.hbm_bytes, view.layer_stride_bytes, total, f"machine {view.name}")

    def of_core(name: str, core: int) -> str:
        return f"{name}.{core}" if view.cores > 1 else name

    def per_core_tensors(name: str, fmt: Format, elements: int, count: int = 1) -> tuple[Tensor, ...]:
        return tuple(hbm.add(of_core(name, core), fmt, elements, count) for core in cores)

    def stacked(name: str, fmt: Format, elements: int, of: Iterable[str]) -> dict[str, tuple[Tensor, ...]]:
        return {
            network: per_core_tensors(f"{name}.{network}" if network else name, fmt, elements, depths[network])
            for network in of
        }

    mixtures, dense, lm_head = None, [], []
    for core in cores:  # the LM head a step behind the last layer: then that one, too, fetches ahead as all others do
        if depths[""] > routed:
            dense.append(hbm.add(of_core("weights", core), options.weight_format, layer, depths[""] - routed))
        if routed:
            mixtures = hbm.add("weights.mixtures", options.weight_format, mixture, routed)
        before = mixtures or dense[-1]
        lm_head.append(hbm.add(of_core("lm_head", core), options.weight_format, head, at=before.following))
    layers = {"": tuple(dense), **stacked("weights", options.weight_format, layer, list(depths)[1:])}
    constants = networks.total * dims.row_vectors * view.vlen
    tensors = Tensors(
        layers=layers,
        head=tuple(lm_head),
        kv=stacked("kv_cache", options.kv_format, cache, depths),
        kept=hbm.add("kept_outputs", tables, networks.total * kept_elements(dims, extent.positions))
        if dims.leading else None,
        logits=hbm.add("logits", logits_format, kept, 1 + extent.compares) if kept else None,
        embedding=tuple(lm_head) if dims.shares_embedding else tuple(
            hbm.add(f"embedding.{block}", tables, (model.vocab + model.input_only) * dims.hidden.width)
            for block in range(dims.hidden.blocks)
        ),
        rope=hbm.add("rope", tables, 2 * extent.positions * view.vlen),
        masks=hbm.add("key_masks", tables, view.hlen * view.vlen) if extent.masks else None,
        spill=per_core_tensors("spill", tables, spill_elements(dims, extent.positions)) if extent.tiled else (),
        bias=per_core_tensors("biases", tables, constants) if constants else (),
        row_masks=hbm.add("row_masks", tables, masks * view.vlen) if masks else None,
        policy=hbm.add("policy", options.weight_format, policy) if policy else None,
        mixtures=mixtures,
        experts=hbm.add("experts", options.weight_format, experts, routed) if routed else None,
        transposed=hbm.add("embedding_t", options.weight_format, mixed) if mixed else None,
        soft=hbm.add("soft_rows", tables, extent.mixed * dims.hidden.blocks * view.vlen) if extent.mixed else None,
    )
    return hbm, tensors
