"""Final norm, LM head by vocabulary chunk, spilling of logits, and the sampling phase behind it."""

from __future__ import annotations

from functools import partial
from typing import Any

import attrs

from archsim.errors import WorkloadError
from workloads.lowering.emit.builder import Word
from workloads.lowering.emit.context import Context
from workloads.lowering.emit.places import A_LOGITS, A_PREVIOUS, F_SAMPLING, FP_SCRATCH, Cell
from workloads.lowering.emit.weights import Rows
from workloads.lowering.head.policy import choose_rows
from workloads.lowering.layers import norms
from workloads.lowering.layers.parallel import meet
from workloads.lowering.layers.tiled import load_head_rows
from workloads.lowering.plan.dims import ceil_div
from workloads.lowering.plan.vectors import CONFIDENCE, MASKS, TRANSFER
from workloads.lowering.sampling.online import emit_online_chunks, emit_online_end, emit_online_start
from workloads.lowering.sampling.phase import emit_sampling
from workloads.lowering.sampling.plan import SamplingPlan, rows_per_load
from workloads.lowering.sampling.scores import LIKELIHOOD
from workloads.lowering.sampling.stability import STABILITY
from workloads.lowering.sampling_variant import GREEDY

KEPT = {LIKELIHOOD: "likelihoods of tokens", STABILITY: "logits compared with the next forward's"}
"""What needs logits that can be read again."""


def head_norm(c: Context) -> None:
    """Normalise the rows that meet the LM head, to the place of normalised rows."""
    c.phase("norm")
    v = c.vectors
    if c.tiling is None and v.head_rows == v.rows and not (
        c.kind.head_varies or c.rows_vary or c.kind.scattered or c.dims.leading
    ):
        source = c.activations(v.x)
        norms.finish(c, source, v.normed)  # the last projection left the sums of squares
        return
    source = c.head(v.compact)
    if c.tiling is None:
        _copy_rows(c, source)
    else:
        load_head_rows(c)
    norms.norm(c, source, v.normed)


def _copy_rows(c: Context, target: Rows) -> None:
    b, v, kind = c.b, c.vectors, c.kind
    if kind.head_scattered:
        _copy_scattered(c, target)
        return
    b.v_rows(c.head_rows)
    for block in range(c.dims.hidden.blocks):
        for sequence in range(v.sequences):
            place = v.x + block * v.rows + sequence * kind.q_rows
            with c.offset(Cell.HEAD, place * c.dims.view.vlen) as source:
                copy = target.base + block * target.pitch + sequence * kind.head_rows
                b.emit("V_ADD_VF", c.v(copy), source, 0)


def _copy_scattered(c: Context, target: Rows) -> None:
    """The same where rows stand anywhere among the query rows: one by one."""
    b, v, kind, vlen = c.b, c.vectors, c.kind, c.dims.view.vlen
    for block in range(c.dims.hidden.blocks):
        for sequence in range(v.sequences):
            place = v.x + block * v.rows + sequence * kind.q_rows
            copy = target.base + block * target.pitch + sequence * kind.head_rows
            with c.offset(Cell.HEAD, place * vlen) as source, b.reg(copy * vlen) as row, b.loop_of(c.head_rows):
                b.v_rows(1)
                b.emit("V_ADD_VF", row, source, 0)
                b.add(source, vlen)
                b.add(row, vlen)


def lm_head(c: Context, plan: SamplingPlan) -> None:
    """Logits of all head rows, chunk by chunk; `plan` says whether and how they are kept."""
    c.phase("lm_head")
    v = c.vectors
    online = c.options.logits == "online"
    if online:
        emit_online_start(c.b, plan)
    c.stream.begin(c.head_plan)
    source = c.head(v.normed)
    for chunk, gemm in enumerate(c.head_plan.stage.gemms):
        place = v.logits + chunk % v.logit_buffers * v.head_rows
        if c.options.logits == "onchip":
            place = v.logits + chunk * v.head_rows
        if chunk == len(c.head_plan.stage.gemms) - 1 and c.options.logits == "spill" and _block_is_split(c):
            _clear(c, source, place)
        c.stream.gemm(gemm.name, source, place)
        if online:
            emit_online_chunks(c.b, plan, chunk, 1, place)
        elif c.options.logits == "spill":
            _spill(c, chunk, place)
    c.stream.end()


def _block_is_split(c: Context) -> bool:
    """Whether the n-tiles end inside a scale block, so that lanes that no n-tile writes would count for its scale."""
    block, view = c.options.logit_format.block, c.dims.view
    return block > 0 and c.dims.head_tiles * view.blen % view.vlen % block > 0


def _clear(c: Context, source: Rows, place: int) -> None:
    """Zeros to the rows of a chunk: `source`, rows that have been written, moved out of itself."""
    b = c.b
    b.v_rows(c.head_rows)
    for sequence in range(c.vectors.sequences):
        first = sequence * c.kind.head_rows
        b.emit("V_SHFT_V", c.v(place + first), c.v(source.base + first), b.const(c.dims.view.vlen))


def _spill(c: Context, chunk: int, place: int) -> None:
    """Store a chunk's rows to [sequence][chunk][row][lane]."""
    b, kind, vlen = c.b, c.kind, c.dims.view.vlen
    b.h_rows(c.head_rows, vlen, 0)
    for sequence in range(c.vectors.sequences):
        row = (sequence * c.dims.chunks + chunk) * kind.head_rows
        with c.offset(Cell.LOGITS, row * vlen) as target:
            source = c.v(place + sequence * kind.head_rows)
            b.emit("H_STORE_V", source, target, A_LOGITS, 0, c.options.logit_format.code)


def sampling_plan(c: Context, token_pitch: int, sampled: int, registers: tuple[int, int]) -> SamplingPlan:
    """The plan of the sampling phase; `sampled` is an INT_MEM address, `registers` hold x and k."""
    v, kind, vlen, variant = c.vectors, c.kind, c.dims.view.vlen, c.options.sampling
    if kind.score == LIKELIHOOD:
        variant = GREEDY
    plan = SamplingPlan(
        sequences=c.sequences, rows=kind.head_rows, vocab=c.dims.model.vocab, vlen=vlen,
        greedy=kind.kind in ("prefill", "decode") and kind.score != LIKELIHOOD,
        buffer=v.sampling, buffer_vectors=v.sampling_vectors,
        masks=MASKS, confidence=CONFIDENCE, transfer=TRANSFER, fp_base=FP_SCRATCH, x0=sampled,
        x_register=registers[0], x_pitch=token_pitch, k_register=registers[1], hbm=A_LOGITS,
        scalars=(1, 2, 3, 4, 5, 6, 7),
        sampled=Word(Cell.SAMPLED) if kind.head_varies else None,
        pairs=Word(Cell.PAIRS) if kind.head_varies else None, gap_rows=kind.gap_rows,
        score=variant.score or kind.score, variant=variant, constants=F_SAMPLING, draws=Cell.DRAWS,
        previous=A_PREVIOUS if kind.compares else -1,
        pitch=c.dims.chunks,
        precision=c.options.logit_format.code, choose=partial(choose_rows, c) if kind.policy_rows else None,
    )  # fmt: skip
    return attrs.evolve(plan, **_place_of_logits(c, plan))


def _place_of_logits(c: Context, plan: SamplingPlan) -> dict[str, Any]:
    """Mode, buffers and rows of a load."""
    v, kind, vectors = c.vectors, c.kind, plan.buffer_vectors
    chunk, logits = ceil_div(plan.variant.chunk, plan.vlen), c.options.logits
    if kind.score == STABILITY and plan.variant != GREEDY:
        raise WorkloadError("option sampling: rows by how stable they are; expected the tokens of the largest logits")
    if logits != "spill" and (kind.draws > 1 or kind.score in KEPT):
        wanted = "several draws of a token" if kind.draws > 1 else KEPT[kind.score]
        raise WorkloadError(f"option logits: {logits}: {wanted}; expected spill, with logits that can be read again")
    if logits != "spill" and c.dims.view.cores > 1:
        found = f"each of {c.dims.view.cores} cores has some of a row's logits"
        raise WorkloadError(f"option logits: {logits}: {found}; expected spill, through which they meet")
    if logits == "onchip":
        if c.groups > 1 or v.logit_vectors < plan.chunks * v.head_rows:
            found = f"logits of {v.head_rows} rows take {plan.chunks * v.head_rows} vectors, {v.logit_vectors} are free"
            raise WorkloadError(f"option logits: onchip: {found}; expected room, or spill")
        return {"mode": "onchip", "buffer": v.logits, "buffer_vectors": v.logit_vectors}
    if logits == "online":
        return {"mode": "online"}
    if 0 < chunk < plan.chunks:
        return {"mode": "edge", "buffer_vectors": min(vectors, chunk * plan.parts)}
    if kind.head_varies or kind.gap_rows > 0 or plan.copied:
        return {"mode": "rows" if vectors >= plan.parts * plan.chunks else "edge"}
    group = rows_per_load(kind.head_rows, plan.chunks, vectors)
    return {"mode": "spill" if group else "edge", "group_rows": max(group, 1)}


def sample(c: Context, plan: SamplingPlan) -> None:
    """The sampling phase; `plan` names registers with the token address and the commit count."""
    c.phase("sampling")
    if c.dims.view.cores > 1:
        c.b.emit("C_WAIT_IDLE")  # this core's logits are in HBM
        meet(c, 2)
    c.b.load(plan.x_register, Cell.TOKENS)
    c.b.load(plan.k_register, Cell.COMMITTED)
    if c.options.logits == "online":
        emit_online_end(c.b, plan)
    else:
        emit_sampling(c.b, plan)
        for _ in range(1, c.kind.draws):
            emit_sampling(c.b, attrs.evolve(plan, greedy=True, choose=None))
    c.b.v_lanes(0)
