"""Where the rows of a layer's operators lie in Vector SRAM, if not all operators take the same rows."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from archsim.errors import WorkloadError
from workloads.forwards import OperatorRows
from workloads.lowering.plan.classes import ForwardClass
from workloads.lowering.plan.dims import Dims, ceil_div
from workloads.lowering.plan.vectors import VectorPlan, plan_vectors


@attrs.frozen(kw_only=True)
class OperatorPlan:
    """Plans of three sets of rows, each of which may be that of all rows.

    `wide`: rows of the projection that comes first; `keys` and `queries`: rows that get keys and that attend.
    """

    rows: OperatorRows
    wide: VectorPlan
    keys: VectorPlan
    queries: VectorPlan
    kept: int
    """Loaded outputs of an earlier forward, as many vectors as all rows."""
    old: int
    """What is compared: the earlier values of one head group; behind them as many vectors for products."""
    products: int
    statistics: int
    """Three places: sums of products, of new squares, of old squares."""
    statistic_vectors: int
    needed: int


def all_rows(count: int) -> OperatorRows:
    """Every operator on all rows."""
    return OperatorRows(
        first_layer=count, query=count, key=count, value=count, attention=count, feedforward=count
    )


def plan_operators(dims: Dims, kind: ForwardClass, whole: VectorPlan, rows: OperatorRows) -> OperatorPlan:
    """Lay out the subsets behind what all rows need; raises WorkloadError for combinations without code."""
    _check(dims, kind, rows)
    first = whole.query + dims.q.blocks * kind.q_rows if dims.leading == "q" else whole.scratch
    widest = rows.value if dims.leading == "v" else rows.query
    statistic = ceil_div(widest, dims.view.vlen)
    kept = first
    old = kept + dims.hidden.blocks * kind.q_rows
    products = old + widest
    statistics = products + widest
    first = statistics + 3 * statistic

    def subset(count: int) -> VectorPlan:
        if count == kind.q_rows:
            return whole
        plan = plan_vectors(dims, attrs.evolve(kind, q_rows=count, head_rows=0), 1, first)
        return attrs.evolve(plan, key_mask=whole.key_mask, bias=whole.bias)

    plans = {name: subset(count) for name, count in
             (("wide", widest), ("keys", rows.key), ("queries", rows.attention))}  # fmt: skip
    return OperatorPlan(
        rows=rows, **plans, kept=kept, old=old, products=products, statistics=statistics,
        statistic_vectors=statistic, needed=max(first, *(plan.needed for plan in (whole, *plans.values()))),
    )  # fmt: skip


def leading(kinds: Sequence[ForwardClass]) -> str:
    """What leads the projections of a program with these classes, as `Dims.leading`; raises WorkloadError for two."""
    compared = {kind.operators.compared for kind in kinds if kind.operators is not None}
    names = sorted(compared - {""}) or ["value"] * bool(compared)
    if len(names) > 1:
        raise WorkloadError(f"operators: {' and '.join(names)} are compared; expected one of them")
    return names[0][0] if names else ""


def kept_elements(dims: Dims, positions: int) -> int:
    """Elements kept of one layer."""
    groups = dims.q.blocks if dims.leading == "q" else 0
    return (2 * dims.hidden.blocks + groups) * positions * dims.view.vlen


def _check(dims: Dims, kind: ForwardClass, rows: OperatorRows) -> None:
    widest = rows.value if dims.leading == "v" else rows.query
    same = rows.key == rows.query == rows.attention if dims.leading == "v" else rows.key == rows.value
    same = same and rows.feedforward in (kind.q_rows, rows.attention) and rows.output in (None, rows.attention)
    if not same:
        raise WorkloadError(f"operators: {rows}; expected the rows of one set, and of one that is compared")
    if min(rows.query, rows.key, rows.attention) < 1:
        raise WorkloadError("operators: layers that send no rows; expected at least one row")
    if widest > dims.view.vlen and rows.compared:
        raise WorkloadError(f"operators: {widest} rows are compared; expected at most VLEN = {dims.view.vlen}")
    if dims.mixture is not None or kind.causal_rows or kind.soft_rows or kind.mix_rows:
        raise WorkloadError("operators: layers of experts, masks or mixtures of rows; expected none of them")
    if kind.sequences > 1 or dims.view.cores > 1:
        found = f"operators: {kind.sequences} sequences on {dims.view.cores} cores"
        raise WorkloadError(f"{found}; expected one sequence on one core")
