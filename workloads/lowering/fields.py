"""The integers that differ between the forwards of a class: where the program reads them, and the row counts."""

from __future__ import annotations

from workloads.lowering.emit.context import Context
from workloads.lowering.emit.places import Cell
from workloads.lowering.plan.dims import ceil_div


class Fields:
    """Loads per-forward integers: constants of the class, or words of the round's or forward's table row."""

    def __init__(self, constants: dict[str, int], by_round: dict[str, int], by_forward: dict[str, int]) -> None:
        """The latter two map names to word indices."""
        self.constants, self.by_round, self.by_forward = constants, by_round, by_forward

    def load(self, c: Context, register: int, name: str) -> None:
        """register = the field."""
        b = c.b
        if name in self.constants:
            b.set(register, self.constants[name])
            return
        by_round = name in self.by_round
        b.load(register, Cell.ROUND if by_round else Cell.FORWARD)
        b.emit("S_LD_INT", register, register, (self.by_round if by_round else self.by_forward)[name])


def load_counts(c: Context, fields: Fields, value: int) -> None:
    """Row counts of this forward, where the class leaves them open."""
    b, kind = c.b, c.kind
    if c.rows_vary:
        _load_rows(c, fields, value, "q_rows", (Cell.Q_ROWS, Cell.LAST_ROWS), kind.q_rows)
    if kind.head_varies:
        _load_rows(c, fields, value, "head_rows", (Cell.HEAD_ROWS, Cell.LAST_HEAD), kind.head_rows)
        for name, cell in (("sampled", Cell.SAMPLED), ("pairs", Cell.PAIRS)):
            fields.load(c, value, name)
            b.store(value, cell)
    if kind.policy_varies:
        _load_rows(c, fields, value, "policy_rows", (Cell.POLICY_ROWS, Cell.LAST_POLICY), kind.policy_rows)
    listed = c.listed is not None or kind.operators is not None
    if listed:
        for name, cell in (("loose", Cell.LOOSE), ("run", Cell.RUN), ("runs", Cell.RUNS)):
            fields.load(c, value, name)
            b.store(value, cell)
    if c.options.kv_scheme == "static" and kind.kind in ("warm", "full", "prefill"):
        fields.load(c, value, "renews")
        b.store(value, Cell.RENEWS)
    _load_mixed(c, fields, value)
    varies = kind.head_varies or kind.policy_varies or kind.mix_varies or kind.soft_varies
    if c.rows_vary or varies or listed:
        b.forget()


def _load_rows(c: Context, fields: Fields, value: int, name: str, cells: tuple[int, int], most: int) -> None:
    """A number of rows, and what is left of it for the last row tile, to two cells."""
    b, blen = c.b, c.dims.view.blen
    fields.load(c, value, name)
    b.store(value, cells[0])
    b.emit("S_SUB_INT", value, value, b.const((ceil_div(most, blen) - 1) * blen))
    b.store(value, cells[1])


def _load_mixed(c: Context, fields: Fields, value: int) -> None:
    """Rows of mixtures, of the forward's own and of those it makes."""
    b, kind = c.b, c.kind
    if kind.mix_rows:
        fields.load(c, value, "mix_start")
        b.store(value, Cell.MIX_FIRST)
        b.emit("S_MUL_INT", value, value, b.const(c.dims.view.vlen))
        b.store(value, Cell.MIX_START)
    if kind.mix_varies:
        _load_rows(c, fields, value, "mix_rows", (Cell.MIX_ROWS, Cell.LAST_MIX), kind.mix_rows)
    if kind.soft_rows:
        fields.load(c, value, "soft_start")
        b.emit("S_MUL_INT", value, value, b.const(c.dims.view.vlen))
        b.store(value, Cell.SOFT_START)
    if kind.soft_varies:
        fields.load(c, value, "soft_rows")
        b.store(value, Cell.SOFT_ROWS)
