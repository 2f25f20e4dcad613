"""Parts of a program's header: what it requires of a machine, and a record of every forward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workloads.forwards import Forward
from workloads.lowering.memory import MatrixPlan
from workloads.lowering.options import LoweringOptions
from workloads.lowering.plan.dims import Dims
from workloads.lowering.plan.hbm import HbmMap
from workloads.lowering.plan.machine_view import matrix_bytes
from workloads.lowering.plan.vectors import VectorPlan


def requirements(
    dims: Dims, options: LoweringOptions, matrix: MatrixPlan, hbm: HbmMap, vectors: Sequence[VectorPlan],
    *, words: int, slots: int,
) -> dict[str, object]:  # fmt: skip
    """Sizes that a machine must have; `words` of INT_MEM, `slots` of the KV engine.

    Sampling of spilled logits takes whatever is left of Vector SRAM, so that a program needs what it was planned for.
    """
    view = dims.view
    used = view.vector_vectors if options.logits == "spill" else max(plan.needed for plan in vectors)
    return {
        "machine": view.name,
        "cores": view.cores,
        "core.mlen": view.mlen,
        "core.vlen": view.vlen,
        "core.blen": view.blen,
        "core.hlen": view.hlen,
        "matrix_sram.capacity": matrix_bytes(matrix.cells),
        "vector_sram.capacity": used * view.vlen * 2,
        "scalar_memory.int_words": words,
        "kv_engine.slots": slots,
        "memory.capacity": max(region["base"] + region["bytes"] for region in hbm.regions()),
    }


def record(forward: Forward) -> dict[str, Any]:
    """What the report needs to know of a forward."""
    keys = ("kind", "q_rows", "kv_rows", "head_rows", "sampled_rows", "committed", "sequences")
    fixed = forward.committed + forward.free_commits
    committing = {} if forward.committing is None else {"committing": forward.committing}
    return {**{key: getattr(forward, key) for key in keys}, "committed": fixed, **committing}
