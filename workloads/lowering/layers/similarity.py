"""The rows that changed most since an earlier forward: those whose new values are least similar to the old ones."""

from __future__ import annotations

from workloads.lowering.attention import rows as row_work
from workloads.lowering.emit.context import Context
from workloads.lowering.emit.places import A_KEPT, A_KV, Cell
from workloads.lowering.plan.operators import OperatorPlan
from workloads.lowering.plan.vectors import TRANSFER


def load_values(c: Context, plan: OperatorPlan, kv_group: int) -> None:
    """The cached values of a head group, of the rows of `c`, as they were before they were quantised."""
    b, width, rows = c.b, c.dims.kv.width, c.kind.q_rows
    c.phase("select")
    b.h_rows(rows, width, 0)
    with c.offset(Cell.KV_READ, c.kv_offset(value=True, sequence=0, group=kv_group) + c.write_row * width) as source:
        b.emit("H_PREFETCH_V", c.v(plan.old), source, A_KV, 0, 1)
    if c.options.rotated:
        row_work.turn(c, plan.old, rows)
    if c.options.smoothed:
        b.v_rows(rows)
        b.m_group(1, 0)
        with c.offset(Cell.SLOT, c.slot(value=True, sequence=0, group=kv_group)) as slot:
            b.emit("K_FOLD", c.v(plan.old), c.v(plan.old), slot)


def swap_queries(c: Context, plan: OperatorPlan, group: int) -> None:
    """Load the queries of a head group that were kept, and keep the new ones."""
    b, dims = c.b, c.dims
    c.phase("select")
    b.h_rows(c.kind.q_rows, dims.q.width, 0)
    extra = (2 * dims.hidden.blocks + group) * c.positions * dims.view.vlen
    with c.offset(Cell.KEPT, extra) as place:
        b.emit("H_PREFETCH_V", c.v(plan.old), place, A_KEPT, 0, c.table_precision)
        b.emit("H_STORE_V", c.v(c.vectors.query + group * c.vectors.rows), place, A_KEPT, 0, c.table_precision)


def compare(c: Context, plan: OperatorPlan, fresh: int, width: int, *, first: bool) -> None:
    """Add one head group to every row's sums of products, of new squares and of old squares."""
    b, vlen = c.b, c.dims.view.vlen
    c.phase("select")
    b.v_rows(c.kind.q_rows)
    b.v_seg(vlen)
    for index, (left, right) in enumerate(((fresh, plan.old), (fresh, fresh), (plan.old, plan.old))):
        b.emit("V_MUL_VV", c.v(plan.products), c.v(left), c.v(right))
        b.v_lanes(width % vlen)
        place = plan.statistics + index * plan.statistic_vectors
        b.emit("V_RED_SUM_SEG", c.v(place), c.v(plan.products), int(not first))
        b.v_lanes(0)


def select_rows(c: Context, plan: OperatorPlan, counts: tuple[int, ...]) -> None:
    """Of every count, as many rows of the smallest cosines, to the list of chosen positions."""
    b = c.b
    c.phase("select")
    b.v_rows(1)
    product, new, old = (plan.statistics + index * plan.statistic_vectors for index in range(3))
    b.emit("V_MUL_VV", c.v(new), c.v(new), c.v(old))
    b.emit("V_RSQRT_V", c.v(new), c.v(new))
    b.emit("V_MUL_VV", c.v(product), c.v(product), c.v(new))
    b.emit("V_SUB_VF", c.v(product), c.v(product), 0, 0, 1)
    for count in counts:
        with b.reg(count) as chosen, b.reg(c.kind.q_rows) as rows, b.reg(TRANSFER * c.dims.view.vlen) as mask:
            b.emit("V_TOPK_MASK", mask, c.v(product), c.v(old), chosen, rows)
            positions = b.const(c.positions_list)
            b.emit("S_SELECT_INT", b.const(c.chosen_list), positions, positions, mask, rows)
