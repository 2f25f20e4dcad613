"""A program's header: what it was made from, what it requires of a machine, and a record of every forward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from archsim.isa.program import Header, PhaseInfo
from workloads.forwards import Forward, Schedule, evidence_notes
from workloads.lowering.blueprint import Blueprint
from workloads.lowering.ideal.work import ideal_work
from workloads.lowering.notes import program_notes
from workloads.lowering.plan.machine_view import matrix_bytes


def make_header(plan: Blueprint, schedule: Schedule, phases: Sequence[PhaseInfo]) -> Header:
    """The header of the program of these phases."""
    model, view, options, passes = plan.dims.model, plan.dims.view, plan.options, plan.passes
    routing, experts = plan.routing, model.experts
    return Header(
        name=f"{model.name} {schedule.name} on {view.name}",
        model={**attrs.asdict(model), "parameters": model.parameters},
        schedule={
            **schedule.describe(),
            "committed_source": schedule.commit_source or "static",
            "restream": {kind.kind: groups * tiles for kind, (groups, tiles) in passes.items()},
            **({"routing": routing.describe(experts)} if routing and experts else {}),
        },
        requires=_requirements(plan),
        seed=options.seed,
        formats={"weights": options.weights, "kv": options.kv, "activations": options.acts, "vector_hbm": "mxfp8"},
        block=max(forward.head_rows for forward in plan.rounds.forwards),
        cores=view.cores,
        phases=tuple(phases),
        forwards=tuple(_record(forward) for forward in plan.rounds.forwards),
        int_mem=plan.tables.images,
        gather_ids={"kind": "synthetic", "seed": options.seed, "vocab": model.vocab},
        regions=plan.hbm.regions(),
        ideal=ideal_work(plan.dims, options, plan.rounds, passes, routing.totals(view.blen) if routing else {}),
        notes=(
            *evidence_notes(schedule),
            *program_notes(options, plan.rounds.forwards, passes, plan.networks, plan.matrix.depth),
            *(routing.notes(experts) if routing and experts else ()),
        ),
    )


def _requirements(plan: Blueprint) -> dict[str, object]:
    """Sizes that a machine must have.

    Sampling of spilled logits takes whatever is left of Vector SRAM, so that a program needs what it was planned for.
    """
    view = plan.dims.view
    used = view.vector_vectors if plan.options.logits == "spill" else max(each.needed for each in plan.vectors)
    return {
        "machine": view.name,
        "cores": view.cores,
        "core.mlen": view.mlen,
        "core.vlen": view.vlen,
        "core.blen": view.blen,
        "core.hlen": view.hlen,
        "matrix_sram.capacity": matrix_bytes(plan.matrix.cells),
        "vector_sram.capacity": used * view.vlen * 2,
        "scalar_memory.int_words": plan.tables.end,
        "kv_engine.slots": plan.slots,
        "memory.capacity": max(region["base"] + region["bytes"] for region in plan.hbm.regions()),
    }


def _record(forward: Forward) -> dict[str, Any]:
    """What the report needs to know of a forward."""
    keys = ("kind", "q_rows", "kv_rows", "head_rows", "sampled_rows", "committed", "sequences")
    fixed = forward.committed + forward.free_commits
    committing = {} if forward.committing is None else {"committing": forward.committing}
    return {**{key: getattr(forward, key) for key in keys}, "committed": fixed, **committing}
