"""The weight stream: matrices in the order of use, as they lie in HBM."""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs

from workloads.lowering.plan.dims import Columns, Dims, ceil_div

LAYER, PROJECTIONS, REST, HEAD, POLICY, MIX, EXPERT = (
    "layer", "projections", "rest", "head", "policy", "mix", "expert",
)  # fmt: skip
"""Stages: a layer; or its projections and what follows them, where row tiles take turns; the LM head; what comes
behind it in some forwards; a routed expert."""
SHARED = "shared."
"""What the names of the shared experts' matrices begin with."""


@attrs.frozen
class Gemm:
    """One matrix of a stage: `n_tiles` column tiles of `k_tiles` tiles along the reduction."""

    name: str
    n_tiles: int
    k_tiles: int
    elements: int
    """Stored elements of a tile: used lanes of a column block times BLEN."""
    even: int = 1
    """Tiles whose codes and scales together lie on all channels alike."""

    @property
    def tiles(self) -> int:
        """Tiles of the matrix."""
        return self.n_tiles * self.k_tiles


@attrs.frozen
class Stage:
    """Matrices stored back to back in HBM in the order of use: a layer, or the LM head."""

    name: str
    gemms: tuple[Gemm, ...]
    start: int = 0
    """Element offset of the first tile from the base of the layer."""

    @property
    def tiles(self) -> int:
        """Tiles of the stage."""
        return sum(gemm.tiles for gemm in self.gemms)

    @property
    def elements(self) -> int:
        """Stored elements of the stage."""
        return sum(gemm.tiles * gemm.elements for gemm in self.gemms)

    @property
    def even(self) -> int:
        """Tiles that lie on all channels alike, of any of the matrices."""
        return math.lcm(*[gemm.even for gemm in self.gemms])

    def sizes(self) -> list[int]:
        """Elements of every tile in order."""
        return [gemm.elements for gemm in self.gemms for _ in range(gemm.tiles)]


def inner_names(dims: Dims) -> tuple[str, ...]:
    """Matrices that lead to the MLP's inner rows."""
    return ("gate", "up") if dims.model.mlp == "swiglu" else ("up",)


def layer_stage(dims: Dims, *, mixture: bool = False) -> Stage:
    """The matrices of a layer: K, Q and V by head group, O, gate (if any) and up by column block, down.

    Where one projection leads, it comes first for all head groups.
    `mixture`: those of a layer of experts that all rows meet; the router and the shared experts instead of the MLP.
    """
    gemms: list[Gemm] = []
    for group in range(dims.q.blocks):
        fresh = group == 0 or dims.kv_group(group) != dims.kv_group(group - 1)
        gemms += [_gemm(dims, f"k{group}", dims.kv.width, dims.hidden)] if fresh else []
        gemms += [_gemm(dims, f"q{group}", dims.q.width, dims.hidden)]
        gemms += [_gemm(dims, f"v{group}", dims.kv.width, dims.hidden)] if fresh else []
    if dims.leading:
        gemms.sort(key=lambda gemm: gemm.name[0] != dims.leading)
    gemms += [_gemm(dims, f"o.{block}", dims.hidden.width, dims.q) for block in range(dims.hidden.blocks)]
    if not mixture:
        return Stage(LAYER, (*gemms, *_mlp(dims, "", dims.ffn, dims.ffn_spans)))
    assert dims.mixture is not None
    gemms.append(_gemm(dims, "router", dims.mixture.router.width, dims.hidden))
    shared = dims.mixture.shared
    gemms += _mlp(dims, SHARED, shared, [range(shared.blocks)]) if shared else []
    return Stage(LAYER, tuple(gemms))


def expert_stage(dims: Dims) -> Stage:
    """The matrices of one routed expert: gate and up by column block, down."""
    assert dims.mixture is not None
    inner = dims.mixture.expert
    return Stage(EXPERT, tuple(_mlp(dims, "", inner, [range(inner.blocks)])))


def _gemm(dims: Dims, name: str, n_columns: int, reduction: Columns) -> Gemm:
    blen = dims.view.blen
    elements = dims.stored(reduction.width * blen)
    return Gemm(name, n_columns // blen, reduction.blocks, elements, dims.even_tiles(elements))


def _mlp(dims: Dims, prefix: str, inner: Columns, spans: list[range]) -> list[Gemm]:
    """The matrices of an MLP whose inner blocks go through it in spans."""
    gemms: list[Gemm] = []
    for part, span in enumerate(spans):
        for block in span:
            gemms += [_gemm(dims, f"{prefix}{name}{block}", inner.width, dims.hidden) for name in inner_names(dims)]
        own = Columns(len(span), inner.width)
        blocks = range(dims.hidden.blocks)
        gemms += [_gemm(dims, f"{prefix}down{part}.{block}", dims.hidden.width, own) for block in blocks]
    return gemms


def split_layer(dims: Dims, *, mixture: bool = False) -> tuple[Stage, Stage]:
    """The layer's stage in two: the projections to queries, keys and values, and the rest."""
    gemms = layer_stage(dims, mixture=mixture).gemms
    count = next(index for index, gemm in enumerate(gemms) if gemm.name.startswith("o."))
    first = Stage(PROJECTIONS, gemms[:count])
    return first, Stage(REST, gemms[count:], first.elements)


def head_stage(dims: Dims, stored: Callable[[int], int] = int) -> Stage:
    """The LM head by column chunk; the last chunk may be shorter. `stored`: elements stored of those of a tile."""
    per_chunk = dims.view.vlen // dims.view.blen
    gemms: list[Gemm] = []
    left = dims.head_tiles
    while left:
        take = min(per_chunk, left)
        size = stored(dims.hidden.width * dims.view.blen)
        gemms.append(Gemm(f"head{len(gemms)}", take, dims.hidden.blocks, size, dims.even_tiles(size)))
        left -= take
    return Stage(HEAD, tuple(gemms))


def policy_stage(dims: Dims, weights: int) -> Stage:
    """A network of that many weights, rounded up to n-tiles: matrices of the hidden width, by column block."""
    blen, hidden = dims.view.blen, dims.hidden
    left = ceil_div(weights, hidden.padded * blen)
    gemms: list[Gemm] = []
    while left:
        take = min(hidden.width // blen, left)
        gemms.append(Gemm(f"policy{len(gemms)}", take, hidden.blocks, hidden.width * blen))
        left -= take
    return Stage(POLICY, tuple(gemms))


def mix_stage(dims: Dims, parts: int) -> Stage:
    """The transposed embedding, whose reduction over the vocabulary is divided into parts."""
    blen, vlen, hidden = dims.view.blen, dims.view.vlen, dims.hidden
    chunks = ceil_div(dims.model.vocab, vlen)
    gemms: list[Gemm] = []
    for part in range(parts):
        size = (part + 1) * chunks // parts - part * chunks // parts
        gemms += [Gemm(f"mix{part}.{block}", hidden.width // blen, size, vlen * blen) for block in range(hidden.blocks)]
    return Stage(MIX, tuple(gemms))
