"""Where everything lies in Vector SRAM, in vectors: persistent rows first, then areas that phases share."""

from __future__ import annotations

import attrs

from workloads.lowering.plan.classes import ForwardClass
from workloads.lowering.plan.dims import Dims, ceil_div

CONFIDENCE, TRANSFER, MASKS = 0, 1, 2
"""Vectors at the bottom of Vector SRAM: confidences, chosen positions, position masks by sequence."""


@attrs.frozen(kw_only=True)
class ExpertArea:
    """Vectors of a layer of experts, by first vector."""

    scores: int
    """Scores of all rows, and then the weights of the experts that a row chose, 0 elsewhere."""
    choice: int
    """What the experts of some rows are chosen by, and `left` of it when some are chosen; as many as `scratch`."""
    left: int
    statistics: int
    """Four times `packed` vectors of statistics."""
    packed: int
    lane: int
    """1 in the first lane, then 1 in the expert's lane."""
    rows: int
    """Most rows of an expert at once."""
    gathered: int
    shares: int
    """Rows of `scores` cut to the expert's lane, and their sums in one vector behind them."""
    gate: int
    up: int
    out: int


@attrs.frozen(kw_only=True)
class PieceArea:
    """Vectors of attention that takes `tiles` key tiles at a time, by first vector."""

    tiles: int
    out: int
    """Sums of weighted values, of all query rows of a sequence."""
    product: int
    """Those of a piece, of a query tile."""
    statistics: int
    """Largest scores and sums of every query tile."""
    growth: int


@attrs.frozen(kw_only=True)
class VectorPlan:
    """Vector SRAM of one class of forwards; every field is a vector index unless said otherwise.

    Activations are [column block][row]: vector base + block * rows + row. `sequences` is how many
    sequences a pass over the layers holds, `rows` their query rows together.
    """

    sequences: int
    rows: int
    x: int
    normed: int
    """Normalised rows; also where the O and down projections land before they are added to `x`."""
    statistics: int
    means: int
    """Sums of rows, then their means, then squares of these, where the model has layer norms."""
    cosines: int
    sines: int
    key_mask: int
    """Additive masks: one vector, HLEN of them where attention is causal, or [key tile][row] with masks by row."""
    bias: int
    query: int
    key: int
    value: int
    scratch: int
    scratch_rows: int
    """Number of vectors at `scratch`."""
    head_statistics: int
    """Statistics of every head of as many rows, where heads are normalised."""
    scores: int
    score_units: int
    """Number of query tiles whose scores fit at once."""
    unit_vectors: int
    """Vectors of one query tile's scores."""
    unit_statistics: int
    """Two vectors for each of them: maxima, sums."""
    pieces: PieceArea | None
    gate: int
    up: int
    experts: ExpertArea | None
    compact: int
    """Rows that meet the LM head, where they are not all rows."""
    head_rows: int
    """Number of those rows."""
    logits: int
    logit_buffers: int
    """Number of buffers of one chunk at `logits`."""
    logit_vectors: int
    """Vectors from `logits` to the end."""
    sampling: int
    sampling_vectors: int
    needed: int
    """Vectors used in all, sampling apart."""
    tiles: int = 1
    """Row tiles that take turns through every layer; `rows` are one tile's (of the one sequence)."""


class _Stack:
    """Hands out consecutive vectors."""

    def __init__(self, start: int) -> None:
        self.top = start

    def take(self, count: int) -> int:
        base, self.top = self.top, self.top + count
        return base


def plan_vectors(dims: Dims, kind: ForwardClass, sequences: int, first: int) -> VectorPlan:
    """Lay out one class for `sequences` sequences a pass, from vector `first` on.

    `needed` of the result may exceed the machine's vectors; the caller decides what to do about it.
    """
    rows = sequences * kind.q_rows
    view = dims.view
    stack = _Stack(first)
    # First what row tiles of different sizes share.
    own = kind.own_tiles(view.hlen) * kind.q_rows * (2 if kind.tree or kind.separate else 1)
    key_mask = stack.take(view.hlen if kind.causal else max(own, int(kind.masked)))
    bias = stack.take(dims.row_vectors)
    x, normed = stack.take(dims.hidden.blocks * rows), stack.take(dims.hidden.blocks * rows)
    statistics = stack.take(ceil_div(rows, view.vlen))
    cosines, sines = stack.take(kind.q_rows), stack.take(kind.q_rows)
    scratch_rows = min(rows, view.blen)
    scratch = stack.take(scratch_rows)
    packed = ceil_div(scratch_rows * view.heads_per_vector, view.vlen)
    head_statistics = stack.take(packed * dims.model.qk_norm)
    means = stack.take(2 * ceil_div(rows, view.vlen) * (dims.model.norm == "layer"))
    area = stack.top
    query, key, value = stack.take(dims.q.blocks * rows), stack.take(rows), stack.take(rows)
    tile = min(kind.q_rows, view.blen)
    pieces = None
    if dims.takes_pieces(kind.key_tiles):
        pieces = PieceArea(
            tiles=dims.piece_tiles, out=stack.take(kind.q_rows), product=stack.take(tile),
            statistics=stack.take(2 * ceil_div(kind.q_rows, view.blen)), growth=stack.take(1),
        )  # fmt: skip
    unit = min(kind.key_tiles, pieces.tiles if pieces is not None else kind.key_tiles) * tile
    units = sequences * ceil_div(kind.q_rows, view.blen)
    room = view.vector_vectors - stack.top
    score_units = max(1, min(units if pieces is None else 1, room // (unit + 2)))
    scores, unit_statistics = stack.take(score_units * unit), stack.take(2 * score_units)
    attention_top = stack.top
    stack = _Stack(area)
    experts = _expert_area(dims, stack, rows, scratch_rows)
    inner = len(dims.ffn_spans[0])
    if dims.mixture is not None and dims.mixture.shared is not None:
        inner = max(inner, dims.mixture.shared.blocks)
    # The shared experts are done before the routed ones begin.
    overlaid = _Stack(experts.gathered if experts is not None else stack.top)
    gate, up = overlaid.take(inner * rows), overlaid.take(rows)
    ffn_top = max(stack.top, overlaid.top)
    stack = _Stack(area)
    head = sequences * kind.head_rows
    compact = stack.take(dims.hidden.blocks * head)
    buffers = max(1, min(4, (view.vector_vectors - stack.top) // head)) if head else 0
    logits = stack.take(buffers * head)
    return VectorPlan(
        sequences=sequences, rows=rows, x=x, normed=normed, statistics=statistics, means=means, cosines=cosines,
        sines=sines,
        key_mask=key_mask, bias=bias, query=query, key=key, value=value, scratch=scratch, scratch_rows=scratch_rows,
        head_statistics=head_statistics,
        scores=scores, score_units=score_units, unit_vectors=unit, unit_statistics=unit_statistics, gate=gate, up=up,
        pieces=pieces,
        experts=experts,
        compact=compact, head_rows=head, logits=logits, logit_buffers=buffers,
        logit_vectors=view.vector_vectors - logits,
        sampling=area, sampling_vectors=view.vector_vectors - area,
        needed=max(attention_top, ffn_top, stack.top),
    )  # fmt: skip


def _expert_area(dims: Dims, stack: _Stack, rows: int, scratch_rows: int) -> ExpertArea | None:
    if dims.mixture is None or dims.model.experts is None:
        return None
    count = dims.model.experts
    most = min(rows, dims.view.blen)
    packed = ceil_div(scratch_rows * count.groups, count.count) if count.groups > 1 else 1
    return ExpertArea(
        rows=most, packed=packed, scores=stack.take(rows), choice=stack.take(scratch_rows),
        left=stack.take(scratch_rows), statistics=stack.take(4 * packed), lane=stack.take(2),
        gathered=stack.take(dims.hidden.blocks * most), shares=stack.take(most + 1),
        gate=stack.take(dims.mixture.expert.blocks * most), up=stack.take(most), out=stack.take(most),
    )  # fmt: skip
