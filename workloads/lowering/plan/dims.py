"""How one core sees the model: column blocks, head groups and weight tiles, with their padding."""

from __future__ import annotations

import math

import attrs

from archsim.errors import WorkloadError
from workloads.lowering.plan.machine_view import MachineView
from workloads.shape import ModelShape

SCALE_BLOCK = 32
"""Elements that share one scale in the MX formats."""
MOST_EVEN = 16
"""Tiles that are fetched at a time, or as a multiple of which the ring is deep, for the sake of even channels."""


class KeysTooLong(WorkloadError):
    """On-chip memory is too small, perhaps as it has to hold all key tiles of a sequence."""


def ceil_div(value: int, divisor: int) -> int:
    """Quotient, rounded up."""
    return -(-value // divisor)


def round_up(value: int, multiple: int) -> int:
    """Least multiple that is not below the value."""
    return ceil_div(value, multiple) * multiple


@attrs.frozen
class Columns:
    """A dimension spread over column blocks: `blocks` vectors, of which `width` lanes are used.

    The width is balanced over the blocks (3584 on 2048 lanes is 2 x 1792), so that every tile of a
    matrix has the same size and no tile is mostly padding.
    """

    blocks: int
    width: int

    @property
    def padded(self) -> int:
        """Elements with padding."""
        return self.blocks * self.width


def columns(total: int, vlen: int, multiple: int) -> Columns:
    """Spread `total` columns over vectors, in whole `multiple`s."""
    blocks = ceil_div(total, vlen)
    return Columns(blocks, round_up(ceil_div(total, blocks), multiple))


@attrs.frozen(kw_only=True)
class MixtureDims:
    """A mixture of experts: the router's scores in one vector, inner rows of one expert and of the shared ones."""

    router: Columns
    expert: Columns
    shared: Columns | None


@attrs.frozen(kw_only=True)
class Dims:
    """One core's share of the model.

    Query heads come in `q.blocks` groups of `q_heads`, KV heads in `kv.blocks` groups of `kv_heads`; a
    group fills one vector. `ffn` and `head_tiles` (n-tiles of the LM head) are the core's own.
    """

    model: ModelShape
    view: MachineView
    hidden: Columns
    q: Columns
    kv: Columns
    ffn: Columns
    q_heads: int
    kv_heads: int
    chunks: int
    """LM-head column chunks of VLEN columns over all cores, of which the last core's may lie beyond the vocabulary."""
    core_chunks: int
    head_tiles: int
    leading: str = ""
    """"v" or "q": the projection of all head groups that comes before the others; empty: head group by head group."""
    weight_share: float = 1.0
    """Elements stored for each weight of the layers: below 1 where weights are left out and the others indexed."""
    mixture: MixtureDims | None = None
    piece_tiles: int = 0
    """Key tiles of a piece, where attention takes more of them a piece at a time; 0: it takes all at once."""
    ffn_parts: int = 1
    """Parts in which the MLP's inner blocks go through gate, up and down, so that fewer are held at once."""
    shared_rows: int = 1
    """Cache rows that share scales by channel."""
    stripe_elements: int = 1
    """Weights whose codes, and whose scales, are whole stripes of all channels."""

    @property
    def tile_unit(self) -> int:
        """Rows that row tiles are multiples of: rows that share scales are then stored together, and rounded once."""
        return math.lcm(self.view.blen, self.shared_rows)

    def stored(self, elements: int) -> int:
        """Elements that are stored of a layer's tile, in whole scale blocks."""
        return elements if self.weight_share == 1 else round_up(math.ceil(elements * self.weight_share), SCALE_BLOCK)

    def even_tiles(self, elements: int) -> int:
        """Tiles of so many stored elements that lie on all channels alike; 1 where that takes too many."""
        tiles = self.stripe_elements // math.gcd(self.stripe_elements, elements)
        return tiles if tiles <= MOST_EVEN else 1

    @property
    def ffn_spans(self) -> list[range]:
        """Inner blocks of every part."""
        size = ceil_div(self.ffn.blocks, self.ffn_parts)
        return [range(start, min(start + size, self.ffn.blocks)) for start in range(0, self.ffn.blocks, size)]

    def takes_pieces(self, key_tiles: int) -> bool:
        """Whether attention to so many key tiles takes them piece by piece."""
        return 0 < self.piece_tiles < key_tiles

    @property
    def biases(self) -> int:
        """Bias vectors of a layer: K groups, V groups, Q groups; 0 where the model has none."""
        return 2 * self.kv.blocks + self.q.blocks if self.model.qkv_bias else 0

    @property
    def gains(self) -> int:
        """First vector of a layer's gains of keys and of queries, behind the biases, where heads are normalised."""
        return self.biases

    @property
    def row_vectors(self) -> int:
        """Vectors of a layer that rows are added to or multiplied by."""
        return self.router_bias + (self.model.experts is not None and self.model.experts.bias)

    @property
    def router_bias(self) -> int:
        """The router's bias among them, where there is one."""
        return self.biases + 2 * self.model.qk_norm

    @property
    def shares_embedding(self) -> bool:
        """Whether the LM head reads the embedding: a row of it must then be one run in HBM."""
        model = self.model
        return model.tied and not model.input_only and self.hidden.blocks == 1 and self.view.cores == 1

    @property
    def q_per_kv(self) -> int:
        """Query heads that share a KV head."""
        return self.model.heads // self.model.kv_heads

    def kv_group(self, group: int) -> int:
        """KV group that query group `group` attends to."""
        return group * self.q_heads // self.q_per_kv // self.kv_heads

    def first_query(self, group: int) -> int:
        """Index of the group's first query head, counted from the first query head of its KV group."""
        return group * self.q_heads - self.kv_group(group) * self.kv_heads * self.q_per_kv


def head_lanes(model: ModelShape, hlen: int) -> list[int]:
    """Lane of every dimension of a query or key head, so that the two of a rotary pair are half a segment apart.

    Scores do not notice, as queries and keys lie alike. Lanes that are left over stay zero.
    """
    half, turned = hlen // 2, model.turned
    pairs = [*range(turned // 2), *range(half, half + turned // 2)]
    others = sorted(set(range(hlen)) - set(pairs))
    return pairs + others[: model.head_dim - turned]


def make_dims(model: ModelShape, view: MachineView) -> Dims:
    """Split the model over the machine's cores and vectors; raises WorkloadError where it does not divide."""
    _check(model, view)
    mixture = _mixture_dims(model, view)
    inner = model.ffn if mixture is None or model.dense_layers else mixture.expert.padded
    heads, kv_heads = model.heads // view.cores, model.kv_heads // view.cores
    per_vector = view.heads_per_vector
    groups, kv_groups = ceil_div(heads, per_vector), ceil_div(kv_heads, per_vector)
    q_heads, kv_per_group = ceil_div(heads, groups), ceil_div(kv_heads, kv_groups)
    chunks = ceil_div(model.vocab, view.vlen)
    core_chunks = ceil_div(chunks, view.cores)
    all_tiles = ceil_div(model.vocab, view.blen)
    dims = Dims(
        model=model,
        view=view,
        hidden=columns(model.hidden, view.vlen, view.blen),
        q=Columns(groups, q_heads * view.hlen),
        kv=Columns(kv_groups, kv_per_group * view.hlen),
        ffn=columns(inner // view.cores, view.vlen, view.blen),
        q_heads=q_heads,
        kv_heads=kv_per_group,
        chunks=core_chunks * view.cores,
        core_chunks=core_chunks,
        head_tiles=all_tiles if view.cores == 1 else core_chunks * (view.vlen // view.blen),
        mixture=mixture,
    )
    for group in range(groups):
        last = min((group + 1) * q_heads, heads) - 1
        if last // dims.q_per_kv // kv_per_group != dims.kv_group(group):
            found = f"query heads {group * q_heads}..{last} need KV heads of two vectors"
            raise WorkloadError(f"model {model.name} on {view.name}: {found}; expected head counts that group evenly")
    return dims


def _mixture_dims(model: ModelShape, view: MachineView) -> MixtureDims | None:
    experts = model.experts
    if experts is None:
        return None
    where = f"model {model.name} on {view.name}"
    if view.cores > 1:
        raise WorkloadError(f"{where}: a mixture of experts on {view.cores} cores; expected 1 core")
    uneven = experts.groups > 1 and view.vlen % (experts.count // experts.groups)
    if experts.count > view.vlen or uneven:
        found = f"{experts.count} experts in {experts.groups} groups"
        hint = f"at most as many as lanes, and groups that divide the {view.vlen} lanes"
        raise WorkloadError(f"{where}: {found}; expected {hint}")
    return MixtureDims(
        router=columns(experts.count, view.vlen, view.blen),
        expert=columns(experts.ffn, view.vlen, view.blen),
        shared=columns(experts.shared_ffn, view.vlen, view.blen) if experts.shared_ffn else None,
    )


def _check(model: ModelShape, view: MachineView) -> None:
    where = f"model {model.name} on {view.name}"
    if model.head_dim > view.hlen:
        raise WorkloadError(f"{where}: head_dim {model.head_dim}; expected at most the machine's hlen {view.hlen}")
    for name in ("heads", "kv_heads", "ffn"):
        value = getattr(model, name)
        if value % view.cores:
            raise WorkloadError(f"{where}: {name} {value}; expected a multiple of the {view.cores} cores")
