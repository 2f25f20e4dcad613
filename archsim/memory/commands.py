"""When DRAM commands may follow each other: the timing state of one physical channel, command by command.

Time is counted in ticks: clock cycles, or half cycles where a timing set has row commands of half a cycle (HBM3).
A delay runs from the end of the earlier command on its bus to the end of the later one, so from start to start it
grows by the length of the first and shrinks by the length of the second. Column commands, activates and refreshes
start on whole cycles; a precharge may start on any tick.
"""

from __future__ import annotations

from collections import deque

import attrs

from archsim.memory.timing import DramTiming

LONG_AGO = -(1 << 40)


@attrs.frozen(kw_only=True)
class Gaps:
    """Distances between starts of commands, in ticks; `x_y` is from command x to command y."""

    per_cycle: int
    act_slot: int
    pre_slot: int
    act_read: int
    act_write: int
    act_pre: int
    act_act_bank: int
    act_act_group: int
    act_act: int
    four_acts: int
    act_refresh: int
    pre_act: int
    pre_pre: int
    pre_refresh: int
    refresh_act: int
    column_group: int
    column_stack: int
    column: int
    read_pre: int
    write_pre: int
    read_write: int
    write_read: int
    write_read_group: int
    read_data: int
    write_data: int
    burst: int
    refresh_interval: int


def make_gaps(timing: DramTiming) -> Gaps:
    """The distances of one timing set."""
    t = timing
    per = 2 if (t.act_bus_half_ck | t.pre_bus_half_ck) & 1 else 1
    act, pre, column = t.act_bus_half_ck * per // 2, t.pre_bus_half_ck * per // 2, per
    wrote = t.cwl + t.burst_cycles
    return Gaps(
        per_cycle=per,
        act_slot=act,
        pre_slot=pre,
        act_read=t.rcd_rd * per + act - column,
        act_write=t.rcd_wr * per + act - column,
        act_pre=t.ras * per + act - pre,
        act_act_bank=t.rc * per,
        act_act_group=t.rrd_l * per,
        act_act=t.rrd_s * per,
        four_acts=t.faw * per,
        act_refresh=t.rc * per + act - pre,
        pre_act=t.rp * per + pre - act,
        pre_pre=max(t.ppd * per, pre),
        pre_refresh=t.rp * per,
        refresh_act=t.rfc * per + pre - act,
        column_group=t.ccd_l * per,
        column_stack=max(t.ccd_r, t.burst_cycles) * per,
        column=max(t.ccd_s, t.burst_cycles) * per,
        read_pre=t.rtp * per + column - pre,
        write_pre=(wrote + t.wr) * per + column - pre,
        read_write=t.rtw * per,
        write_read=(wrote + t.wtr_s) * per,
        write_read_group=(wrote + t.wtr_l) * per,
        read_data=t.cl * per,
        write_data=t.cwl * per,
        burst=t.burst_cycles * per,
        refresh_interval=t.refi * per,
    )


@attrs.define(eq=False)
class CommandState:
    """Open rows, and from which tick on each command is allowed, of all banks of one physical channel.

    Banks are numbered through the channel: pseudo-channel, stack ID, bank group, bank, the last fastest. `rows` holds
    the open row of each, or -1. `group`, `stack` and `pseudo` lead from a bank to its bank group, its stack and its
    pseudo-channel. Lists `read`, `write`, `activate` and `precharge` with `_group`, `_stack`, `_pseudo` hold the
    first allowed tick at that level; a command must satisfy all levels. `row_bus` is when that is free; the column
    bus takes a command each whole cycle.
    """

    timing: DramTiming
    pseudo_channels: int
    gaps: Gaps = attrs.field(init=False)
    rows: list[int] = attrs.field(init=False)
    group: list[int] = attrs.field(init=False)
    stack: list[int] = attrs.field(init=False)
    pseudo: list[int] = attrs.field(init=False)
    read: list[int] = attrs.field(init=False)
    write: list[int] = attrs.field(init=False)
    activate: list[int] = attrs.field(init=False)
    precharge: list[int] = attrs.field(init=False)
    read_group: list[int] = attrs.field(init=False)
    write_group: list[int] = attrs.field(init=False)
    activate_group: list[int] = attrs.field(init=False)
    read_stack: list[int] = attrs.field(init=False)
    write_stack: list[int] = attrs.field(init=False)
    read_pseudo: list[int] = attrs.field(init=False)
    write_pseudo: list[int] = attrs.field(init=False)
    activate_pseudo: list[int] = attrs.field(init=False)
    precharge_pseudo: list[int] = attrs.field(init=False)
    precharge_all: list[int] = attrs.field(init=False)
    refresh: list[int] = attrs.field(init=False)
    last_activates: list[deque[int]] = attrs.field(init=False)
    row_bus: int = attrs.field(default=LONG_AGO, init=False)

    def __attrs_post_init__(self) -> None:
        """Everything closed and allowed."""
        timing, pcs = self.timing, self.pseudo_channels
        self.gaps = make_gaps(timing)
        total = pcs * timing.banks
        per_group = timing.banks_per_group // timing.stack_ids
        self.group = [bank // per_group for bank in range(total)]
        self.stack = [bank // (per_group * timing.bank_groups) for bank in range(total)]
        self.pseudo = [bank // timing.banks for bank in range(total)]
        self.rows = [-1] * total
        for name in ("read", "write", "activate", "precharge"):
            setattr(self, name, [LONG_AGO] * total)
        for name in ("read_group", "write_group", "activate_group"):
            setattr(self, name, [LONG_AGO] * (total // per_group))
        for name in ("read_stack", "write_stack"):
            setattr(self, name, [LONG_AGO] * (pcs * timing.stack_ids))
        for name in ("read", "write", "activate", "precharge"):
            setattr(self, name + "_pseudo", [LONG_AGO] * pcs)
        self.precharge_all = [LONG_AGO] * pcs
        self.refresh = [LONG_AGO] * pcs
        self.last_activates = [deque([LONG_AGO] * 4, maxlen=4) for _ in range(pcs)]

    def banks_of(self, pc: int) -> range:
        """The banks of pseudo-channel `pc`."""
        return range(pc * self.timing.banks, (pc + 1) * self.timing.banks)

    def next_column(self, bank: int, now: int, write: bool) -> int:
        """First tick from `now` on at which a read or write of this bank's open row may start."""
        group, stack, pc = self.group[bank], self.stack[bank], self.pseudo[bank]
        if write:
            when = max(self.write[bank], self.write_group[group], self.write_stack[stack], self.write_pseudo[pc])
        else:
            when = max(self.read[bank], self.read_group[group], self.read_stack[stack], self.read_pseudo[pc])
        return self._whole(max(now, when))

    def next_activate(self, bank: int, now: int) -> int:
        """First tick from `now` on at which a closed bank may be activated."""
        pc = self.pseudo[bank]
        return self._whole(
            max(
                now,
                self.activate[bank],
                self.activate_group[self.group[bank]],
                self.activate_pseudo[pc],
                self.last_activates[pc][0] + self.gaps.four_acts,
                self.row_bus,
            )
        )

    def next_precharge(self, bank: int) -> int:
        """First tick at which an open bank may be precharged."""
        return max(self.precharge[bank], self.precharge_pseudo[self.pseudo[bank]], self.row_bus)

    def next_precharge_all(self, pc: int) -> int:
        """First tick at which all banks of a pseudo-channel may be precharged at once."""
        return max(self.precharge_all[pc], self.precharge_pseudo[pc], self.row_bus)

    def next_refresh(self, pc: int, now: int) -> int:
        """First tick from `now` on at which a pseudo-channel with all banks closed may be refreshed."""
        return self._whole(max(now, self.refresh[pc], self.row_bus))

    def _whole(self, tick: int) -> int:
        """`tick`, or the next one that starts a whole cycle: the odd ones, where ticks are half cycles."""
        return tick | 1 if self.gaps.per_cycle == 2 else tick

    def do_column(self, bank: int, now: int, write: bool) -> None:
        """Read or write a burst of the open row."""
        gaps, group, stack, pc = self.gaps, self.group[bank], self.stack[bank], self.pseudo[bank]
        if write:
            same_group, same_stack, same_pc = self.write_group, self.write_stack, self.write_pseudo
            other_pc, turn, after = self.read_pseudo, gaps.write_read, gaps.write_pre
            self.read_group[group] = max(self.read_group[group], now + gaps.write_read_group)
        else:
            same_group, same_stack, same_pc = self.read_group, self.read_stack, self.read_pseudo
            other_pc, turn, after = self.write_pseudo, gaps.read_write, gaps.read_pre
        same_group[group] = now + gaps.column_group
        same_pc[pc] = now + gaps.column
        stacks = self.timing.stack_ids
        for sibling in range(pc * stacks, (pc + 1) * stacks):
            if sibling != stack:
                same_stack[sibling] = now + gaps.column_stack
        other_pc[pc] = max(other_pc[pc], now + turn)
        self.precharge[bank] = max(self.precharge[bank], now + after)
        self.precharge_all[pc] = max(self.precharge_all[pc], now + after)

    def do_activate(self, bank: int, row: int, now: int) -> None:
        """Open a row of a closed bank."""
        gaps, pc = self.gaps, self.pseudo[bank]
        self.rows[bank] = row
        self.read[bank] = now + gaps.act_read
        self.write[bank] = now + gaps.act_write
        self.activate[bank] = now + gaps.act_act_bank
        self.activate_group[self.group[bank]] = now + gaps.act_act_group
        self.activate_pseudo[pc] = max(self.activate_pseudo[pc], now + gaps.act_act)
        self.precharge[bank] = now + gaps.act_pre
        self.precharge_all[pc] = max(self.precharge_all[pc], now + gaps.act_pre)
        self.refresh[pc] = max(self.refresh[pc], now + gaps.act_refresh)
        self.last_activates[pc].append(now)
        self.row_bus = now + gaps.act_slot

    def do_precharge(self, bank: int, now: int) -> None:
        """Close a bank."""
        gaps, pc = self.gaps, self.pseudo[bank]
        self.rows[bank] = -1
        self.activate[bank] = max(self.activate[bank], now + gaps.pre_act)
        self._after_precharge(pc, now)

    def do_precharge_all(self, pc: int, now: int) -> None:
        """Close all banks of a pseudo-channel."""
        for bank in self.banks_of(pc):
            self.rows[bank] = -1
        self.activate_pseudo[pc] = max(self.activate_pseudo[pc], now + self.gaps.pre_act)
        self._after_precharge(pc, now)

    def _after_precharge(self, pc: int, now: int) -> None:
        gaps = self.gaps
        self.precharge_pseudo[pc] = now + gaps.pre_pre
        self.refresh[pc] = max(self.refresh[pc], now + gaps.pre_refresh)
        self.row_bus = now + gaps.pre_slot

    def do_refresh(self, pc: int, now: int) -> None:
        """Refresh all banks of a pseudo-channel."""
        self.activate_pseudo[pc] = max(self.activate_pseudo[pc], now + self.gaps.refresh_act)
        self.row_bus = now + self.gaps.pre_slot
