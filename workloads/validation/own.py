"""Our own lowering of one sampling phase, alone: the counterpart of `published`.

The logits lie in HBM already; k of every sequence is all positions, as in the published one-step run.
"""

from __future__ import annotations

import attrs

from archsim.errors import WorkloadError
from archsim.isa.program import Header, Program
from workloads.lowering.emit.builder import Builder
from workloads.lowering.plan.machine_view import MachineView
from workloads.lowering.sampling.phase import emit_sampling
from workloads.lowering.sampling.plan import SamplingPlan, rows_per_load
from workloads.lowering.sampling.transfer import emit_masks
from workloads.validation.published import MASK_TOKEN


def own_sampler(
    view: MachineView, batch: int = 16, length: int = 32, vocab: int = 126464, group_rows: int | None = None
) -> Program:
    """Sampling of `batch` sequences of `length` positions in spill mode, or edge where no row fits twice.

    `group_rows` rows are loaded at a time (default: as many as fit twice). Raises WorkloadError where
    a size is not positive or a memory of the machine is too small.
    """
    for name, value in {"batch": batch, "length": length, "vocab": vocab}.items():
        if value < 1:
            raise WorkloadError(f"sampler: {name} = {value}; expected at least 1")
    plan = _plan(view, batch, length, vocab, group_rows)
    _check(view, plan)
    builder = Builder()
    builder.phase("sampling", "set_up")
    codes = batch * length * plan.chunks * plan.vlen
    builder.address(plan.hbm, 0)
    builder.scale_offset(codes)
    emit_masks(builder, plan)
    with builder.reg(0) as x, builder.reg() as k:
        builder.load(k, 2 * batch * length)
        builder.phase("sampling", "sampling")
        emit_sampling(builder, attrs.evolve(plan, x_register=x, k_register=k))
    return Program(instructions=tuple(builder.instructions), header=_header(view, plan, builder, codes))


def _plan(view: MachineView, batch: int, length: int, vocab: int, group_rows: int | None) -> SamplingPlan:
    """Vector SRAM: masks, confidences, transfer mask, logits. INT_MEM: x, x0, k."""
    first = batch + 2
    room = view.vector_vectors - first
    rows = rows_per_load(length, -(-vocab // view.vlen), room) if group_rows is None else group_rows
    return SamplingPlan(
        sequences=batch,
        rows=length,
        vocab=vocab,
        vlen=view.vlen,
        mode="spill" if rows else "edge",
        buffer=first,
        buffer_vectors=room,
        group_rows=rows,
        masks=0,
        confidence=batch,
        transfer=batch + 1,
        x0=batch * length,
        x_pitch=length,
    )


def _check(view: MachineView, plan: SamplingPlan) -> None:
    words = 2 * plan.sequences * plan.rows + 1
    for name, needed, there in (("INT_MEM", words, view.int_words), ("FP_MEM", plan.rows, view.fp_words)):
        if needed > there:
            raise WorkloadError(f"sampler on {view.name}: {needed} words of {name} needed; expected at most {there}")


def _header(view: MachineView, plan: SamplingPlan, builder: Builder, codes: int) -> Header:
    words = plan.sequences * plan.rows
    return Header(
        name="sampler",
        model={"vocab": plan.vocab},
        schedule={"name": "sampler", "batch": plan.sequences, "length": plan.rows, "steps": 1},
        requires={"core.vlen": view.vlen},
        formats={"vector_hbm": "mxfp8"},
        block=plan.rows,
        phases=tuple(builder.phases),
        int_mem=(tuple([MASK_TOKEN] * words + [0] * words + [plan.rows]),),
        regions=(
            {"name": "logits", "base": 0, "bytes": codes},
            {"name": "logits.scales", "base": codes, "bytes": codes // 32},
        ),
        notes=(f"sampling mode {plan.mode}, {plan.group_rows} rows a load",),
    )
