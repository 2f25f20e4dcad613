"""Which layout of Vector SRAM every class of forwards gets: the one with the fewest passes over the weights."""

from __future__ import annotations

import attrs

from archsim.errors import WorkloadError
from workloads.lowering.plan.classes import ForwardClass
from workloads.lowering.plan.dims import Dims, KeysTooLong, ceil_div, round_up
from workloads.lowering.plan.operators import all_rows, plan_operators
from workloads.lowering.plan.rounds import Rounds
from workloads.lowering.plan.vectors import MASKS, VectorPlan, plan_vectors


def fit_class(dims: Dims, kind: ForwardClass, first: int) -> VectorPlan | None:
    """The plan with the most sequences a pass that fits, evenly divided; None if not even one does."""
    if dims.leading:
        return _fit_operators(dims, kind, first)
    for count in range(kind.sequences, 0, -1):
        if kind.sequences % count == 0:
            plan = plan_vectors(dims, kind, count, first)
            if plan.needed <= dims.view.vector_vectors:
                return plan
    return fit_tiles(dims, kind, first)


def _fit_operators(dims: Dims, kind: ForwardClass, first: int) -> VectorPlan | None:
    """The plan of all rows at once, where the subsets that operators take fit as well."""
    plan = _plan_all_rows(dims, kind, first)
    return plan if plan.needed <= dims.view.vector_vectors else None


def _plan_all_rows(dims: Dims, kind: ForwardClass, first: int) -> VectorPlan:
    whole = plan_vectors(dims, kind, 1, first)
    needed = plan_operators(dims, kind, whole, kind.operators or all_rows(kind.q_rows)).needed
    return attrs.evolve(whole, needed=needed)


def fit_tiles(dims: Dims, kind: ForwardClass, first: int) -> VectorPlan | None:
    """The plan with the fewest row tiles that fits one sequence at a time; None if not even the smallest does."""
    view, unit = dims.view, dims.tile_unit
    for count in range(2, ceil_div(kind.q_rows, unit) + 1):
        rows = round_up(ceil_div(kind.q_rows, count), unit)
        if rows * (count - 1) >= kind.q_rows:
            continue
        plan = plan_vectors(dims, attrs.evolve(kind, q_rows=rows), 1, first)
        # Between the sweeps all rows of a head group are calibrated and quantised, at once if they fit.
        if max(plan.needed, 0 if dims.piece_tiles else plan.query + kind.q_rows) <= view.vector_vectors:
            return attrs.evolve(plan, tiles=count)
    return None


def fit_program(dims: Dims, rounds: Rounds) -> tuple[Dims, list[VectorPlan]]:
    """Divide the MLP's inner blocks into parts, and lay out every class, for the fewest passes over the weights.

    Raises WorkloadError where a sequence of some class does not fit even with one inner block at a time.
    """
    first = MASKS + rounds.sequences
    weights = [sum(trips[index] for trips in rounds.trips) for index in range(len(rounds.classes))]
    best: tuple[int, int] | None = None
    chosen: tuple[Dims, list[VectorPlan]] | None = None
    for parts in range(1, dims.ffn.blocks + 1):
        divided = attrs.evolve(dims, ffn_parts=parts)
        plans = [fit_class(divided, kind, first) for kind in rounds.classes]
        fitting = [plan for plan in plans if plan is not None]
        if len(fitting) < len(plans):
            continue
        kinds = zip(rounds.classes, fitting, strict=True)
        each = (kind.sequences // plan.sequences * plan.tiles for kind, plan in kinds)
        passes = sum(count * weight for count, weight in zip(each, weights, strict=True))
        if best is None or (passes, parts) < best:
            best, chosen = (passes, parts), (divided, fitting)
    if chosen is None:
        raise _too_small(attrs.evolve(dims, ffn_parts=dims.ffn.blocks), rounds)
    return chosen


def _too_small(dims: Dims, rounds: Rounds) -> WorkloadError:
    first = MASKS + rounds.sequences
    needed, kind = max(
        ((_least(dims, kind, first), kind) for kind in rounds.classes), key=lambda pair: (pair[0], pair[1].q_rows)
    )
    what = "all of them at once" if dims.leading else "one row tile"
    found = f"{kind.kind} of {kind.q_rows} rows needs {needed} vectors of Vector SRAM for {what}"
    return KeysTooLong(f"machine {dims.view.name}: {found}; expected at most {dims.view.vector_vectors}")


def _least(dims: Dims, kind: ForwardClass, first: int) -> int:
    """Vectors that one sequence of a class needs at least."""
    if dims.leading:
        return _plan_all_rows(dims, kind, first).needed
    plan = plan_vectors(dims, attrs.evolve(kind, q_rows=min(kind.q_rows, dims.tile_unit)), 1, first)
    return max(plan.needed, plan.query + kind.q_rows)
