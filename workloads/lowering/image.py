"""What a program's memories hold at the start: weights as its tiles lie in HBM, tables, tokens.

Weights come as a mapping (see `workloads.tiny.checkpoint`) whose norm gains and 1/sqrt(head_dim) are folded in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from archsim.errors import WorkloadError
from archsim.isa.semantics.storage import encode
from workloads.lowering.image_checks import check_canvases, check_heads, check_numbers
from workloads.lowering.layout import Layout
from workloads.lowering.plan.dims import Columns, Dims, ceil_div, head_lanes
from workloads.lowering.plan.hbm import Tensor
from workloads.lowering.plan.stages import (
    EXPERT,
    MIX,
    POLICY,
    SHARED,
    Gemm,
    Stage,
    expert_stage,
    head_stage,
    layer_stage,
    mix_stage,
    policy_stage,
)

Floats: TypeAlias = npt.NDArray[np.float32]
Image: TypeAlias = dict[str, npt.NDArray[Any]]


def image(layout: Layout, weights: Mapping[str, Floats], canvases: npt.NDArray[np.int64]) -> Image:
    """Tensors for `archsim.load_tensors`: everything that the program reads before it writes it.

    `weights` has float32 matrices (outputs, inputs): `embedding.weight`, `head.weight`, and for every layer I
    `layers.I.{q,k,v,o,gate,up,down}.weight`, as far as the model has them; where queries and keys are normalised
    also their gains `layers.I.{q,k}_norm.weight` (head_dim,), and `layers.I.{q,k,v}.bias`. `canvases` (sequences,
    tokens) are prompts followed by mask tokens; a network beside the model has layers `NAME.layers.I`, and one that
    chooses rows is `policy.weight` (outputs of all its matrices, hidden). Raises WorkloadError for programs for several
    cores, for layers that do not store all their weights, for wrong shapes, and for what is not finite.
    """
    check_canvases(layout, canvases)
    check_numbers(weights)
    tensors, tables = layout.tensors, layout.tables
    out: Image = {}
    model = layout.dims.model
    layer, head = layer_stage(layout.dims), head_stage(layout.dims)
    for prefix, tensor, index in _layers(layout):
        _put(out, layout, tensor, index, _stream(layout, layer, weights, prefix))
    if tensors.mixtures is not None and tensors.experts is not None:
        mixture = layer_stage(layout.dims, mixture=True)
        for copy, index in enumerate(range(model.dense_layers, model.layers)):
            prefix = f"layers.{index}."
            _put(out, layout, tensors.mixtures, copy, _stream(layout, mixture, weights, prefix))
            _put(out, layout, tensors.experts, copy, _experts(layout, weights, prefix))
    _put(out, layout, tensors.head[0], 0, _stream(layout, head, weights, ""))
    if not layout.dims.shares_embedding:
        _put_embedding(out, layout, _matrix(weights, "embedding.weight"))
    for network, biases in tensors.bias.items():
        for index in range(len(biases[0].bases)) if biases else ():
            _put(out, layout, biases[0], index, _row_vectors(layout, weights, network, index))
    _put(out, layout, tensors.rope, 0, rope_tables(layout))
    _put_further(out, layout, weights)
    if tensors.masks is not None:
        _put(out, layout, tensors.masks, 0, key_masks(layout))
    if tensors.logits is not None:
        _put_behind(out, layout, tensors.logits)
    for sequence, canvas in enumerate(canvases):
        out[f"int_mem+{tables.tokens + sequence * tables.token_pitch}"] = canvas
    return out


def _put_further(out: Image, layout: Layout, weights: Mapping[str, Floats]) -> None:
    """What only some programs read: the transposed embedding, a network that chooses rows, masks by row."""
    tensors = layout.tensors
    if tensors.transposed is not None:
        mix = mix_stage(layout.dims, layout.mix_parts)
        _put(out, layout, tensors.transposed, 0, _stream(layout, mix, weights, ""))
    if tensors.policy is not None:
        policy = policy_stage(layout.dims, tensors.policy.elements)
        _put(out, layout, tensors.policy, 0, _stream(layout, policy, weights, ""))
    if tensors.row_masks is not None:
        _put(out, layout, tensors.row_masks, 0, row_masks(layout))


def _layers(layout: Layout) -> Iterator[tuple[str, Tensor, int]]:
    """Of every layer of every network the prefix of its weights' names, their tensor, and its number there."""
    for network, tensors in layout.tensors.layers.items():
        for tensor in tensors:
            for index in range(len(tensor.bases)):
                yield (f"{network}." if network else "") + f"layers.{index}.", tensor, index


def _put_embedding(out: Image, layout: Layout, matrix: Floats) -> None:
    model, hidden = layout.dims.model, layout.dims.hidden
    table = _padded(matrix, (model.vocab + model.input_only, hidden.padded), "embedding.weight")
    for tensor, part in zip(layout.tensors.embedding, np.split(table, hidden.blocks, axis=1), strict=True):
        _put(out, layout, tensor, 0, part)


def _row_vectors(layout: Layout, weights: Mapping[str, Floats], network: str, layer: int) -> Floats:
    """Vectors of a layer that rows are added to or multiplied by, (vectors, VLEN)."""
    model, rows = layout.dims.model, list[Floats]()
    prefix = (f"{network}." if network else "") + f"layers.{layer}."
    if model.qkv_bias:
        rows += [_bias(layout, kind, _matrix(weights, f"{prefix}{kind}.bias")) for kind in "kvq"]
    if model.qk_norm:
        rows += [_gain(layout, _matrix(weights, f"{prefix}{kind}_norm.weight")) for kind in "kq"]
    if model.experts is not None and model.experts.bias:
        biased = layer >= model.dense_layers
        values = _matrix(weights, f"{prefix}router.bias") if biased else np.zeros(1, np.float32)
        rows.append(_padded(values[None], (1, layout.dims.view.vlen)))
    return np.concatenate(rows)


def _bias(layout: Layout, kind: str, values: Floats) -> Floats:
    """A projection's bias by head group: (groups, VLEN)."""
    spread = layout.dims.q if kind == "q" else layout.dims.kv
    flat = _padded(_spread_heads(layout, kind, values[:, None]).T, (1, spread.padded))
    return _padded(flat.reshape(spread.blocks, spread.width), (spread.blocks, layout.dims.view.vlen))


def _gain(layout: Layout, values: Floats) -> Floats:
    """The gain of every head alike: (1, VLEN)."""
    view = layout.dims.view
    out = np.zeros((1, view.hlen), np.float32)
    out[0, head_lanes(layout.dims.model, view.hlen)] = values
    return np.tile(out, view.heads_per_vector)


def rope_tables(layout: Layout) -> Floats:
    """Cosines, then sines, of every position: (2, positions, VLEN). Lanes that do not turn have 1 and 0."""
    view, model = layout.dims.view, layout.dims.model
    rates = np.zeros(view.hlen // 2)
    rates[: model.turned // 2] = model.rope_theta ** (-np.arange(0, model.turned, 2) / model.turned)
    angles = np.arange(layout.positions)[:, None] * np.tile(rates, view.vlen // rates.size)
    return np.stack([np.cos(angles), np.sin(angles)]).astype(np.float32)


def key_masks(layout: Layout) -> Floats:
    """Row t - 1 lets t keys of a tile through and adds minus infinity to the others: (HLEN, VLEN)."""
    view = layout.dims.view
    keys = np.arange(view.vlen) % view.hlen
    return np.where(keys <= np.arange(view.hlen)[:, None], 0.0, -np.inf).astype(np.float32)


def _put(out: Image, layout: Layout, tensor: Tensor, copy: int, values: Floats) -> None:
    if values.size != tensor.elements:
        raise WorkloadError(f"tensor {tensor.name}: {values.size} elements; expected {tensor.elements}")
    codes, scales = encode(values.reshape(-1), tensor.format)
    out[f"hbm@{tensor.at(copy)}"] = codes
    if scales.size:
        out[f"hbm@{tensor.at(copy) + layout.scale_offset}"] = scales


def row_masks(layout: Layout) -> Floats:
    """Row i lets keys up to i - (most rows with masks of their own) of a tile through: (rows, VLEN)."""
    view, tensor = layout.dims.view, layout.tensors.row_masks
    assert tensor is not None
    last = np.arange(tensor.elements // view.vlen) - layout.masked_rows
    keys = np.arange(view.vlen) % view.hlen
    return np.where(keys <= last[:, None], 0.0, -np.inf).astype(np.float32)


def _put_behind(out: Image, layout: Layout, logits: Tensor) -> None:
    """Zeros behind the logits: sampling that loads rows one by one loads one more than there are."""
    codes, scales = encode(np.zeros(layout.dims.view.vlen, np.float32), logits.format)
    behind = logits.at(0) + logits.format.code_bytes(logits.elements)
    out.setdefault(f"hbm@{behind}", codes)
    if scales.size:
        behind = logits.at(0) + layout.scale_offset + logits.format.scale_bytes(logits.elements)
        out.setdefault(f"hbm@{behind}", scales)


def _matrix(weights: Mapping[str, Floats], name: str) -> Floats:
    if name not in weights:
        raise WorkloadError(f"weights: no {name}; expected one of {', '.join(sorted(weights))}")
    return weights[name]


def _padded(matrix: Floats, shape: tuple[int, int], name: str = "vectors") -> Floats:
    """The matrix with zeros behind its rows and columns."""
    if matrix.ndim != 2 or matrix.shape[0] > shape[0] or matrix.shape[1] > shape[1]:
        raise WorkloadError(f"weights: {name} of shape {matrix.shape}; expected at most {shape}")
    out = np.zeros(shape, np.float32)
    out[: matrix.shape[0], : matrix.shape[1]] = matrix
    return out


def _spread_heads(layout: Layout, kind: str, matrix: Floats) -> Floats:
    """The rows of a projection (of "o" its columns) at the lanes where their heads' dimensions lie."""
    model, hlen = layout.dims.model, layout.dims.view.hlen
    lanes = {"q": head_lanes(model, hlen), "k": head_lanes(model, hlen)}.get(kind, list(range(model.head_dim)))
    if kind not in ("q", "k", "v", "o") or lanes == list(range(hlen)):
        return matrix
    rows = matrix.T if kind == "o" else matrix
    heads = rows.reshape(-1, model.head_dim, rows.shape[1])
    out = np.zeros((len(heads), hlen, rows.shape[1]), np.float32)
    out[:, lanes] = heads
    spread: Floats = out.reshape(-1, rows.shape[1])
    return spread.T if kind == "o" else spread


def _stream(layout: Layout, stage: Stage, weights: Mapping[str, Floats], prefix: str) -> Floats:
    """All tiles of a stage in order."""
    return np.concatenate([_tiles(layout, stage, gemm, weights, prefix).reshape(-1) for gemm in stage.gemms])


def _experts(layout: Layout, weights: Mapping[str, Floats], prefix: str) -> Floats:
    """All routed experts of a layer, one after another."""
    experts, stage = layout.dims.model.experts, expert_stage(layout.dims)
    assert experts is not None
    return np.concatenate(
        [_stream(layout, stage, weights, f"{prefix}experts.{index}.") for index in range(experts.count)]
    )


def _inner(dims: Dims, stage: Stage, kind: str) -> tuple[Columns, list[range]]:
    """Inner columns of the MLP that a matrix belongs to, and the spans in which they are used."""
    mixture = dims.mixture
    if mixture is not None and stage.name == EXPERT:
        return mixture.expert, [range(mixture.expert.blocks)]
    if mixture is not None and mixture.shared is not None and kind.startswith(SHARED):
        return mixture.shared, [range(mixture.shared.blocks)]
    return dims.ffn, dims.ffn_spans


def _tiles(layout: Layout, stage: Stage, gemm: Gemm, weights: Mapping[str, Floats], prefix: str) -> Floats:
    """(n-tiles, k-tiles, BLEN, lanes of a k-tile)."""
    dims, blen = layout.dims, layout.dims.view.blen
    kind = gemm.name.rstrip("0123456789.")
    part_name, _, block_name = gemm.name[len(kind) :].rpartition(".")
    block, name = int(block_name or 0), kind.removeprefix(SHARED)
    rows, columns = gemm.n_tiles * blen, gemm.elements // blen
    inner, spans = _inner(dims, stage, kind)
    groups = {"q": dims.q, "k": dims.kv, "v": dims.kv, "o": dims.hidden, "gate": inner, "up": inner,
              "down": dims.hidden}  # fmt: skip
    if dims.mixture is not None:
        groups["router"] = dims.mixture.router
    if kind == POLICY:
        groups[POLICY] = Columns(len(stage.gemms), dims.hidden.width)
    if kind == MIX:
        return _transposed(layout, gemm, int(part_name), block, _matrix(weights, "embedding.weight"))
    spread = groups.get(name, Columns(dims.chunks, dims.view.vlen))
    inputs = {"o": dims.q, "down": inner}.get(name, dims.hidden)
    if name in "kv":
        block = dims.kv_group(block)
    full_name = f"{prefix}{kind}.weight"
    matrix = _matrix(weights, full_name)
    check_heads(layout, name, matrix, full_name)
    whole = _spread_heads(layout, name, matrix)
    part = _padded(whole, (spread.padded, inputs.padded), full_name)[block * spread.width :][:rows]
    if name == "down":
        span = spans[int(part_name)]
        part = part[:, span.start * inner.width : span.stop * inner.width]
    tiles: Floats = part.reshape(gemm.n_tiles, blen, gemm.k_tiles, columns).transpose(0, 2, 1, 3)
    return tiles


def _transposed(layout: Layout, gemm: Gemm, part: int, block: int, embedding: Floats) -> Floats:
    """Tiles of a column block of the embedding that reduce over a part of the vocabulary."""
    dims, blen, vlen = layout.dims, layout.dims.view.blen, layout.dims.view.vlen
    chunks = ceil_div(dims.model.vocab, vlen)
    whole = _padded(embedding[: dims.model.vocab].T, (dims.hidden.padded, chunks * vlen))
    first = part * chunks // layout.mix_parts
    columns = whole[block * dims.hidden.width :][: dims.hidden.width, first * vlen : (first + gemm.k_tiles) * vlen]
    tiles: Floats = columns.reshape(gemm.n_tiles, blen, gemm.k_tiles, vlen).transpose(0, 2, 1, 3)
    return tiles
