"""Final norm, LM head by vocabulary chunk, spilling of logits, and the sampling phase behind it."""

from __future__ import annotations

from functools import partial

import attrs

from archsim.errors import WorkloadError
from workloads.lowering import norms
from workloads.lowering.builder import Word
from workloads.lowering.context import A_LOGITS, FP_SCRATCH, Cell, Context
from workloads.lowering.parallel import meet
from workloads.lowering.policy import choose_rows
from workloads.lowering.sampling import emit_sampling
from workloads.lowering.sampling_online import emit_online_chunks, emit_online_end, emit_online_start
from workloads.lowering.sampling_plan import COPIED, SamplingPlan, rows_per_load
from workloads.lowering.sampling_scores import LIKELIHOOD
from workloads.lowering.tiled import load_head_rows
from workloads.lowering.vectors import CONFIDENCE, MASKS, TRANSFER
from workloads.lowering.weights import Rows


def head_norm(c: Context) -> None:
    """Normalise the rows that meet the LM head, to the place of normalised rows."""
    c.phase("norm")
    v = c.vectors
    if c.tiling is None and v.head_rows == v.rows and not (c.kind.head_varies or c.rows_vary or c.kind.scattered):
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
        c.stream.gemm(gemm.name, source, place)
        if online:
            emit_online_chunks(c.b, plan, chunk, 1, place)
        elif c.options.logits == "spill":
            _spill(c, chunk, place)
    c.stream.end()


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
    v, kind, vlen = c.vectors, c.kind, c.dims.view.vlen
    chunks = c.dims.chunks
    mode, buffer, vectors, group = c.options.logits, v.sampling, v.sampling_vectors, 1
    single = kind.head_varies or kind.gap_rows > 0 or kind.score in COPIED
    if mode != "spill" and (kind.draws > 1 or kind.score == LIKELIHOOD):
        wanted = "several draws of a token" if kind.draws > 1 else "likelihoods of tokens"
        raise WorkloadError(f"option logits: {mode}: {wanted}; expected spill, with logits that can be read again")
    if mode == "spill" and single:
        mode = "rows" if vectors >= (2 + (kind.score in COPIED)) * chunks else "edge"
    elif mode == "spill":
        group = rows_per_load(kind.head_rows, chunks, vectors)
        if group == 0:
            mode, group = "edge", 1
    elif mode == "onchip":
        buffer, vectors = v.logits, v.logit_vectors
        if c.groups > 1 or vectors < chunks * v.head_rows:
            found = f"logits of {v.head_rows} rows take {chunks * v.head_rows} vectors, {vectors} are free"
            raise WorkloadError(f"option logits: onchip: {found}; expected room, or spill")
    greedy = kind.kind in ("prefill", "decode") and kind.score != LIKELIHOOD
    return SamplingPlan(
        sequences=c.sequences, rows=kind.head_rows, vocab=c.dims.model.vocab, vlen=vlen, mode=mode,
        greedy=greedy, buffer=buffer, buffer_vectors=vectors, group_rows=group,
        masks=MASKS, confidence=CONFIDENCE, transfer=TRANSFER, fp_base=FP_SCRATCH, x0=sampled,
        x_register=registers[0], x_pitch=token_pitch, k_register=registers[1], hbm=A_LOGITS,
        scalars=(1, 2, 3, 4, 5, 6, 7),
        sampled=Word(Cell.SAMPLED) if kind.head_varies else None,
        pairs=Word(Cell.PAIRS) if kind.head_varies else None, gap_rows=kind.gap_rows, score=kind.score,
        precision=c.options.logit_format.code, choose=partial(choose_rows, c) if kind.policy_rows else None,
    )  # fmt: skip


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
