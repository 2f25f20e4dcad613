"""The weight stream: matrices in the order of use, and where each of their tiles lies in the ring when."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import attrs

from workloads.lowering.plan.dims import Columns, Dims, ceil_div, round_up

LAYER, PROJECTIONS, REST, HEAD, POLICY, MIX, EXPERT = (
    "layer", "projections", "rest", "head", "policy", "mix", "expert",
)  # fmt: skip
"""Stages: a layer; or its projections and what follows them, where row tiles take turns; the LM head; what comes
behind it in some forwards; a routed expert."""
SHARED = "shared."
"""What the names of the shared experts' matrices begin with."""
GROUP_SHARE = 8
"""N-tiles are fetched together if they take no more than this part of the ring."""


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


@attrs.frozen
class Fetch:
    """One H_PREFETCH_M of the stream: `count` tiles from element `offset` of a stage to `slot`."""

    slot: int
    count: int
    elements: int
    offset: int
    next_stage: bool


@attrs.frozen
class Use:
    """What happens at n-tiles that are fetched together: the tile runs (slot, tiles) that each of them reads, then the
    fetches that replace them all."""

    reads: tuple[tuple[tuple[int, int], ...], ...]
    fetches: tuple[Fetch, ...]
    bare: bool = False
    """Whether nothing is fetched as the stream ends here."""

    @property
    def contiguous(self) -> bool:
        """Whether the tiles of each n-tile, and those of all, are one run."""
        ends = [slot + tiles for ((slot, tiles), *_) in self.reads]
        return all(len(runs) == 1 for runs in self.reads) and ends[:-1] == [runs[0][0] for runs in self.reads[1:]]

    def follows(self, first: Use, index: int) -> bool:
        """Whether this is `first` moved on by `index` of its kind, so that one loop does both."""
        if not (self.contiguous and first.contiguous) or len(self.fetches) != len(first.fetches):
            return False
        slot, slot0 = self.reads[0][0][0], first.reads[0][0][0]
        tiles, tiles0 = (sum(runs[0][1] for runs in use.reads) for use in (self, first))
        moved = slot == slot0 + index * tiles0 and self.reads[0][0][1] == first.reads[0][0][1] and tiles == tiles0
        if not self.fetches:
            return moved and self.bare and first.bare
        if len(self.fetches) > 1:
            return False
        f, f0 = self.fetches[0], first.fetches[0]
        return (
            moved
            and (f.count, f.elements, f.next_stage) == (f0.count, f0.elements, f0.next_stage)
            and (f.slot, f.count) == (slot, tiles)
            and (f0.slot, f0.count) == (slot0, tiles0)
            and f.offset == f0.offset + index * f0.count * f0.elements
        )


class Plan:
    """Where every tile of a stage lies in the ring, and what is fetched when.

    The first tiles of the stage after it are fetched while the last ones of this are used. `follower` is that stage
    where it has the same base; None stands for one at another base: the next layer's first, or the LM head. `lead`
    has the sizes of its tiles where they are not those of this stage, and `base` its byte base where that is always
    the same and no layer's. `partial`: elements of each of its first tiles that the stage before fetches, where those
    of its own tiles are fewer; they are stored first, then what is left of these tiles. Where the stage `ends` the
    stream, nothing is fetched ahead of what follows.
    """

    def __init__(
        self, stage: Stage, depth: int, follower: Stage | None = None, *,
        lead: Stage | None = None, base: int = -1, partial: int = 0, ends: bool = False,
    ) -> None:  # fmt: skip
        self.stage, self.depth, self.base, self.partial, self._ends = stage, depth, base, partial, ends
        self.same_base = follower is not None
        self._follower_start = follower.start if follower is not None else 0
        self._lead_sizes = (lead or stage).sizes()[:depth]
        self._lead_offsets = [0, *itertools.accumulate(self._lead_sizes)]
        self.sizes = stage.sizes()
        self.offsets = [0]
        for size in self.sizes:
            self.offsets.append(self.offsets[-1] + size)
        self.length = round_up(len(self.sizes), depth)

    def uses(self) -> Iterator[tuple[Gemm, list[Use]]]:
        """Every matrix with its n-tiles."""
        position = 0
        for gemm in self.stage.gemms:
            uses: list[Use] = []
            group = self._group(gemm)
            for _ in range(gemm.n_tiles // group):
                uses.append(self._use(position, gemm.k_tiles, group))
                position += group * gemm.k_tiles
            yield gemm, uses

    def _group(self, gemm: Gemm) -> int:
        """N-tiles that are fetched together: as many as lie on all channels alike, if those leave most of the ring."""
        group = gemm.even // math.gcd(gemm.even, gemm.k_tiles)
        fits = gemm.n_tiles % group == 0 and group * gemm.k_tiles * GROUP_SHARE <= self.depth
        return group if fits and self.depth % gemm.even == 0 else 1

    def start(self) -> Iterator[Fetch]:
        """Fetches that fill the ring with the stage's first tiles, an n-tile at a time."""
        position = 0
        for gemm in self.stage.gemms:
            for _ in range(gemm.n_tiles):
                count = min(gemm.k_tiles, self.depth - position)
                if count <= 0:
                    return
                offset = self.offsets[position] + self.stage.start
                yield Fetch(position, count, gemm.elements, offset, next_stage=False)
                position += count

    def tail(self) -> tuple[Fetch, ...]:
        """Fetches into the slots that the end of the stage leaves idle."""
        return tuple(self._fetches(len(self.sizes), self.length - len(self.sizes)))

    def _use(self, position: int, tiles: int, group: int) -> Use:
        reads = tuple(self._reads(position + index * tiles, tiles) for index in range(group))
        fetches = tuple(self._fetches(position, group * tiles))
        return Use(reads, fetches, self._ends and not fetches)

    def _reads(self, position: int, tiles: int) -> tuple[tuple[int, int], ...]:
        slot = position % self.depth
        first = min(tiles, self.depth - slot)
        return ((slot, first),) if first == tiles else ((slot, first), (0, tiles - first))

    def _fetches(self, position: int, tiles: int) -> list[Fetch]:
        out: list[Fetch] = []
        for index in range(position, position + tiles):
            ahead = index + self.depth
            later = ahead >= self.length
            ahead -= self.length if later else 0
            sizes, offsets = (self._lead_sizes, self._lead_offsets) if later else (self.sizes, self.offsets)
            if ahead >= len(sizes) or (later and self._ends):
                continue
            offset = offsets[ahead] + (self._follower_start if later else self.stage.start)
            one = Fetch(index % self.depth, 1, sizes[ahead], offset, later)
            if out and _joins(out[-1], one):
                out[-1] = attrs.evolve(out[-1], count=out[-1].count + 1)
            else:
                out.append(one)
        return out


def _joins(run: Fetch, one: Fetch) -> bool:
    return (
        one.slot == run.slot + run.count
        and one.elements == run.elements
        and one.next_stage == run.next_stage
        and one.offset == run.offset + run.count * run.elements
    )
