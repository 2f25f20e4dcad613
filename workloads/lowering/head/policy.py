"""A small network behind sampling that says which rows commit, given by its number of weights.

It is taken as matrices of the model's width one after another, as many as hold that many weights, with a gate
x / (1 + exp(-x)) between them. Its rows are normalised rows of the LM head plus the embeddings of their tokens; the
sum of each row's last outputs takes the place of the row's confidence. Every core computes all of it.
"""

from __future__ import annotations

from archsim.errors import WorkloadError
from workloads.lowering.emit.builder import Count, Word
from workloads.lowering.emit.context import Context
from workloads.lowering.emit.places import A_TABLES, F_ONE, Cell
from workloads.lowering.emit.weights import Rows
from workloads.lowering.sampling.plan import SamplingPlan

_ONE = 1


def choose_rows(c: Context, plan: SamplingPlan) -> None:
    """Behind the sampling of a sequence's rows: their scores, to the vector of confidences.

    Raises WorkloadError for several sequences, and where the rows do not go through the layers at once.
    """
    v = c.vectors
    if c.sequences > 1 or v.head_rows > v.rows:
        found = f"policy network: {v.head_rows} rows of {c.sequences} sequences"
        raise WorkloadError(f"{found}; expected one sequence whose rows all fit Vector SRAM at once")
    c.phase("policy")
    c.b.v_lanes(0)
    rows = _rows(c, v.normed)
    _add_tokens(c, rows, plan.x0)
    assert c.policy_plan is not None
    c.stream.begin(c.policy_plan)
    source, target, width = rows, _rows(c, v.x), 0
    for index, gemm in enumerate(c.policy_plan.stage.gemms):
        block = index % c.dims.hidden.blocks
        if index and block == 0:
            source, target = target, source
        width = gemm.n_tiles * c.dims.view.blen
        place = target.base + block * target.pitch
        c.stream.gemm(gemm.name, source, place)
        if index < len(c.policy_plan.stage.gemms) - 1:
            _gate(c, place)
    c.stream.end()
    _score(c, place, width, plan)
    c.phase("sampling")


def _rows(c: Context, base: int) -> Rows:
    kind, pitch = c.kind, c.vectors.head_rows
    if not kind.policy_varies:
        return Rows(base=base, rows=kind.policy_rows, pitch=pitch)
    return Rows(
        base=base, rows=kind.policy_rows, pitch=pitch, count=Word(Cell.POLICY_ROWS), last=Word(Cell.LAST_POLICY)
    )


def _add_tokens(c: Context, rows: Rows, sampled: int) -> None:
    """Add the embeddings of the sampled tokens."""
    b, x = c.b, c.vectors.x
    b.h_rows(rows.count, c.dims.hidden.width, 0)
    b.v_rows(rows.count)
    for block, table in enumerate(c.tensors.embedding):
        b.address(A_TABLES, table.base)
        place, embedded = rows.base + block * rows.pitch, x + block * rows.pitch
        b.emit("H_GATHER_V", c.v(embedded), b.const(sampled), A_TABLES, c.embedding_precision)
        b.emit("V_ADD_VV", c.v(place), c.v(place), c.v(embedded))


def _gate(c: Context, place: int) -> None:
    """rows *= 1 / (1 + exp(-rows)), in parts of as many rows as the scratch rows."""
    b, v, most = c.b, c.vectors, c.kind.policy_rows
    b.emit("S_LD_FP", _ONE, 0, F_ONE)
    for start in range(0, most, v.scratch_rows):
        left = most - start
        last = c.kind.policy_varies and left <= v.scratch_rows
        count: Count = Word(Cell.LAST_POLICY) if last else min(left, v.scratch_rows)
        b.v_rows(count)
        scratch, part = c.v(v.scratch), c.v(place + start)
        b.emit("V_SUB_VF", scratch, part, 0, 0, 1)
        b.emit("V_EXP_V", scratch, scratch)
        b.emit("V_ADD_VF", scratch, scratch, _ONE)
        b.emit("V_RECI_V", scratch, scratch)
        b.emit("V_MUL_VV", part, part, scratch)


def _score(c: Context, place: int, width: int, plan: SamplingPlan) -> None:
    """The sums of the first `width` lanes of all rows, side by side in the vector of confidences."""
    b, vlen, statistics = c.b, c.dims.view.vlen, c.vectors.statistics
    b.v_rows(_rows(c, place).count)
    b.v_seg(vlen)
    b.v_lanes(width % vlen)
    b.emit("V_RED_SUM_SEG", c.v(statistics), c.v(place), 0)
    b.v_lanes(0)
    b.v_rows(1)
    b.emit("V_ADD_VF", c.v(plan.confidence), c.v(statistics), 0)
