"""Work that any lowering must do, from shapes alone: the basis of the ideal bounds.

Counts are for all cores together. Tensor cycles pad rows and columns to whole tiles; vector cycles are
the fewest passes of the published formulas at the published costs (cycles per vector of VLEN lanes):
norm 5 (square 1, sum 1 at best, scale 2, and the residual addition 2 where there is one), see `_VECTOR`.
"""

from __future__ import annotations

import math

import attrs

from workloads.forwards import Forward
from workloads.lowering.ideal.operators import operator_work
from workloads.lowering.ideal.soft import soft_work
from workloads.lowering.options import LoweringOptions
from workloads.lowering.plan.classes import ForwardClass
from workloads.lowering.plan.dims import Dims, ceil_div
from workloads.lowering.plan.rounds import Rounds
from workloads.lowering.sampling.scores import LIKELIHOOD
from workloads.shape import MLPS

_NORM, _ADD, _ROPE, _SOFTMAX, _SAMPLE = 12, 2, 7, 15, 15
"""Cycles per vector: square 2 + sum 8 + scale 2; add; rotate 1 + two products + sum; max 4 + subtract 2 +
exp 1 + sum 8; the same."""
_MLP = {"swiglu": 11, "gelu": 17}
"""Negate, exp, add, reciprocal, two products; with GELU three products more and one sum, and no gate's product."""
_COMPARE, _CHOICE = 12, 25
"""Subtract 2, product 2, sum 8; softmax 15, scale 2, sum 8."""
_HEAD_NORM, _CENTRE, _ROUTER = 14, 10, 7
"""Square 2 + sum 8 + scale 2 + gain 2; sum 8 + subtract 2, which a layer norm does beyond the other's; negate 2 +
exp 1 + add 2 + reciprocal 2 for a row's scores of experts."""


def ideal_work(
    dims: Dims,
    options: LoweringOptions,
    rounds: Rounds,
    passes: dict[ForwardClass, tuple[int, int]],
    routed: dict[int, tuple[int, int, int]],
) -> dict[str, dict[str, int]]:
    """Work amounts per step kind and in total: tensor_cycles, vector_cycles, hbm_bytes, noc_bytes, issue.

    `routed`: by forward, experts fetched, row tiles and rows of experts over all layers, where layers have experts.
    """
    out: dict[str, dict[str, int]] = {}
    cache: dict[tuple[ForwardClass, int, int, int, int, int], dict[str, int]] = {}
    following = (*rounds.forwards[1:], None)
    for forward, kind, after in zip(rounds.forwards, rounds.kinds, following, strict=True):
        soft = soft_work(dims, options, after) if after is not None else {}
        key = (kind, forward.kv_rows, forward.q_rows, forward.head_rows, forward.sampled_rows, forward.policy_rows)
        if key not in cache:
            cache[key] = _work(dims, options, forward, passes[kind])
        work = _with_experts(dims, options, cache[key], routed.get(forward.index, (0, 0, 0)))
        for step in (forward.kind, "total"):
            amounts = out.setdefault(step, dict.fromkeys(work, 0))
            for name, value in work.items():
                amounts[name] += value + soft.get(name, 0)
    return out


def _with_experts(
    dims: Dims, options: LoweringOptions, work: dict[str, int], routed: tuple[int, int, int]
) -> dict[str, int]:
    """The work of a forward and that of its routed experts."""
    experts, view, model = dims.model.experts, dims.view, dims.model
    if experts is None:
        return work
    fetched, tiles, rows = routed
    inner, hidden = ceil_div(experts.ffn, view.blen), ceil_div(model.hidden, view.blen)
    blocks = ceil_div(model.hidden, view.mlen)
    each = view.blen * (2 * blocks * inner + ceil_div(experts.ffn, view.mlen) * hidden)
    vector = _MLP["swiglu"] * ceil_div(experts.ffn, view.vlen) + _ADD * ceil_div(model.hidden, view.vlen)
    return work | {
        "tensor_cycles": work["tensor_cycles"] + tiles * each,
        "vector_cycles": work["vector_cycles"] + rows * vector,
        "hbm_bytes": work["hbm_bytes"] + options.weight_format.total_bytes(fetched * model.expert_weights),
    }


def _work(dims: Dims, options: LoweringOptions, forward: Forward, passes: tuple[int, int]) -> dict[str, int]:
    rows = forward.operators
    if rows is not None:
        count = rows.first_layer
        first = attrs.evolve(forward, q_rows=count, write_rows=count, layers=1, operators=None)
        work = _work(dims, options, first, passes)
        costs = _NORM, _ROPE, _SOFTMAX, _MLP[dims.model.mlp]
        other = operator_work(dims, options, forward.kv_rows, rows, costs)
        others = _layers(dims, forward) - 1
        return {name: value + others * other.get(name, 0) for name, value in work.items()}
    return {
        "tensor_cycles": _tensor(dims, forward),
        "vector_cycles": _vector(dims, forward),
        "hbm_bytes": _hbm(dims, options, forward, passes),
        "noc_bytes": _noc(dims, forward),
        "issue": 0,
    }


def _layers(dims: Dims, forward: Forward) -> int:
    """Layers that run, of the model or of another network of its width."""
    return forward.layers or dims.model.layers


def _mlps(dims: Dims, forward: Forward) -> list[tuple[int, int]]:
    """Layers and widths of the MLPs that all rows go through: a layer of experts has the shared ones."""
    model = dims.model
    if model.experts is None:
        return [(_layers(dims, forward), model.ffn)]
    return [(model.dense_layers, model.ffn), (model.layers - model.dense_layers, model.experts.shared_ffn)]


def _tensor(dims: Dims, forward: Forward) -> int:
    """Tiles of BLEN cycles: GEMMs of all rows, packed-head attention by sequence, LM head."""
    model, view = dims.model, dims.view
    row_tiles = ceil_div(forward.q_rows * forward.sequences, view.blen)

    def columns(width: int) -> int:
        return ceil_div(width, view.blen)

    def blocks(width: int) -> int:
        return ceil_div(width, view.mlen)

    def mlp(width: int) -> int:
        return (MLPS[model.mlp] - 1) * blocks(model.hidden) * columns(width) + blocks(width) * columns(model.hidden)

    layer = blocks(model.hidden) * (columns(model.q_width) + 2 * columns(model.kv_width))
    layer += blocks(model.q_width) * columns(model.hidden)
    key_tiles = ceil_div(forward.kv_rows, view.hlen)
    pairs = ceil_div(forward.q_rows, view.blen) * key_tiles
    if forward.kind == "prefill":
        ends = range(view.blen, forward.q_rows + view.blen, view.blen)
        pairs = sum(ceil_div(min(end, forward.q_rows), view.hlen) for end in ends)
    attention = (2 + forward.score_passes) * pairs * forward.sequences * ceil_div(model.heads, view.heads_per_vector)
    head = blocks(model.hidden) * columns(model.vocab) * ceil_div(forward.head_rows * forward.sequences, view.blen)
    policy = ceil_div(forward.policy_parameters, model.hidden * view.blen) * blocks(model.hidden)
    policy *= ceil_div(forward.policy_rows * forward.sequences, view.blen)
    inner = sum(layers * mlp(width) for layers, width in _mlps(dims, forward))
    if model.experts is not None:
        inner += (model.layers - model.dense_layers) * blocks(model.hidden) * columns(model.experts.count)
    every = _layers(dims, forward) * (layer * row_tiles + attention)
    return view.blen * (every + inner * row_tiles + head + policy)


def _vector(dims: Dims, forward: Forward) -> int:
    """Row operations of norms, residuals, rotary positions, softmax, the gated MLP and sampling."""
    model, vlen = dims.model, dims.view.vlen
    rows = forward.q_rows * forward.sequences

    def vectors(width: int) -> int:
        return ceil_div(width, vlen)

    scores = rows * ceil_div(forward.kv_rows * model.heads, vlen)
    if forward.kind == "prefill":
        scores = ceil_div(scores, 2)
    norm = _NORM + (_CENTRE if model.norm == "layer" else 0)
    layer = rows * (2 * (norm + _ADD) * vectors(model.hidden))
    turned = _ROPE + (_HEAD_NORM if model.qk_norm else 0)
    layer += rows * turned * (vectors(model.q_width) + vectors(model.kv_width))
    layer += scores * (_SOFTMAX + forward.score_passes * _CHOICE) + rows * 2 * vectors(model.q_width)
    inner = sum(layers * rows * _MLP[model.mlp] * vectors(width) for layers, width in _mlps(dims, forward))
    if model.experts is not None:
        inner += (model.layers - model.dense_layers) * rows * _ROUTER
    sampled = forward.sampled_rows * forward.sequences * vectors(model.vocab)
    greedy = forward.kind in ("prefill", "decode") and forward.score != LIKELIHOOD
    sampling = (4 if greedy else _SAMPLE) + 4 * (forward.draws - 1)
    compared = _COMPARE * forward.compared_rows * forward.sequences * vectors(model.vocab)
    return _layers(dims, forward) * layer + inner + sampled * sampling + compared


def _hbm(dims: Dims, options: LoweringOptions, forward: Forward, passes: tuple[int, int]) -> int:
    """Weights once a pass (groups of sequences, x row tiles), KV rows, embedding rows, logits out and in again."""
    model = dims.model
    groups, tiles = passes
    head = model.head_weights if forward.head_rows else 0
    matrices = _layers(dims, forward) * model.layer_weights
    if model.experts is not None:
        mixtures = model.layers - model.dense_layers
        matrices = model.dense_layers * model.layer_weights + mixtures * model.expert_layer_weights
    layers = math.ceil(matrices * dims.weight_share) * tiles
    weights = options.weight_format.total_bytes(layers + head + forward.policy_parameters)
    kv_row = options.kv_format.total_bytes(2 * model.kv_width)
    kv = _layers(dims, forward) * forward.sequences * kv_row * (forward.kv_rows + forward.write_rows)
    table = options.weight_format if dims.shares_embedding else options.table_format
    gathered = forward.q_rows + (forward.head_rows - 1 if forward.score == LIKELIHOOD else 0)
    embedding = forward.sequences * gathered * table.total_bytes(model.hidden)
    logits = 0
    if options.logits == "spill":
        logits = forward.sequences * ((1 + forward.draws) * forward.sampled_rows + forward.compared_rows)
        logits *= options.logit_format.total_bytes(model.vocab)
    return weights * groups + kv + embedding + logits


def _noc(dims: Dims, forward: Forward) -> int:
    """Partial sums between cores: a ring's worth of two all-reduces a layer, in BF16."""
    cores = dims.view.cores
    rows = forward.q_rows * forward.sequences
    return 2 * 2 * (cores - 1) * _layers(dims, forward) * rows * dims.model.hidden * 2
