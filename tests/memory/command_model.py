"""A reference for DRAM commands: every pair of commands of a log against the timing set, rule by rule.

It knows nothing of how `CommandState` keeps its books: each rule is looked up for every pair of commands that it
could bind, in half clock cycles. A delay counts from the end of the first command on its bus to the end of the
second, as JEDEC counts it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from archsim.memory.timing import DramTiming

Command = tuple[int, str, int, int]
"""(tick, name, bank or pseudo-channel, row) as `Controller.log` holds them."""


class Rule(NamedTuple):
    """`second` no earlier than `cycles` after `first` where both are in the same `scope`."""

    first: str
    second: str
    scope: str
    cycles: int


def rules(t: DramTiming) -> list[Rule]:
    """What JESD235 and JESD238 ask of two commands of one pseudo-channel."""
    wrote = t.cwl + t.burst_cycles
    found = [
        Rule("ACT", "ACT", "bank", t.rc),
        Rule("ACT", "ACT", "group", t.rrd_l),
        Rule("ACT", "ACT", "pseudo", t.rrd_s),
        Rule("ACT", "RD", "bank", t.rcd_rd),
        Rule("ACT", "WR", "bank", t.rcd_wr),
        Rule("RD", "WR", "pseudo", t.rtw),
        Rule("WR", "RD", "pseudo", wrote + t.wtr_s),
        Rule("WR", "RD", "group", wrote + t.wtr_l),
        Rule("REF", "ACT", "pseudo", t.rfc),
        Rule("ACT", "REF", "pseudo", t.rc),
    ]
    for same in ("RD", "WR"):
        found += [
            Rule(same, same, "pseudo", max(t.ccd_s, t.burst_cycles)),
            Rule(same, same, "group", t.ccd_l),
            Rule(same, same, "sibling", t.ccd_r),
        ]
    for close, scope in (("PRE", "bank"), ("PREA", "pseudo")):
        found += [
            Rule("ACT", close, scope, t.ras),
            Rule("RD", close, scope, t.rtp),
            Rule("WR", close, scope, wrote + t.wr),
            Rule(close, "ACT", scope, t.rp),
            Rule(close, "REF", "pseudo", t.rp),
            Rule(close, "PRE", "pseudo", t.ppd),
            Rule(close, "PREA", "pseudo", t.ppd),
        ]
    return found


class Model:
    """Checks the log of one physical channel."""

    def __init__(self, timing: DramTiming, pseudo_channels: int) -> None:
        self.timing = timing
        self.pseudo_channels = pseudo_channels
        odd = timing.act_bus_half_ck % 2 or timing.pre_bus_half_ck % 2
        self.halves = 1 if odd else 2
        """Half cycles of a tick."""
        column = 2
        self.length = {"ACT": timing.act_bus_half_ck, "RD": column, "WR": column}

    def _length(self, name: str) -> int:
        return self.length.get(name, self.timing.pre_bus_half_ck)

    def _places(self, command: Command) -> dict[str, int]:
        _, name, where, _ = command
        t = self.timing
        if name in ("REF", "PREA"):
            return {"pseudo": where}
        per_group = t.banks_per_group // t.stack_ids
        return {
            "bank": where,
            "group": where // per_group,
            "stack": where // (per_group * t.bank_groups),
            "pseudo": where // t.banks,
        }

    def _binds(self, rule: Rule, first: Command, second: Command) -> bool:
        a, b = self._places(first), self._places(second)
        if rule.scope == "sibling":
            return a["pseudo"] == b["pseudo"] and a["stack"] != b["stack"]
        return a[rule.scope] == b[rule.scope]

    def violations(self, log: list[Command]) -> Iterator[str]:
        """What the log does that it must not; nothing, for a good one."""
        yield from self.too_early(log)
        yield from self._rows(log)

    def too_early(self, log: list[Command]) -> Iterator[str]:
        """Commands that come before they may, also in a part of a log."""
        yield from self._pairs(log)
        yield from self._windows(log)
        yield from self._buses(log)

    def _pairs(self, log: list[Command]) -> Iterator[str]:
        t = self.timing
        table: dict[tuple[str, str], list[Rule]] = {}
        for rule in rules(t):
            table.setdefault(rule[:2], []).append(rule)
        near = 2 * max(t.rc, t.cwl + t.burst_cycles + t.wr, t.cl + t.burst_cycles) + 8
        refreshes: list[Command] = []
        for index, second in enumerate(log):
            before = refreshes[-2 * self.pseudo_channels :]
            for first in reversed(log[:index]):
                if (second[0] - first[0]) * self.halves > near:
                    break
                before.append(first)
            for first in before:
                apart = (second[0] - first[0]) * self.halves + self._length(second[1]) - self._length(first[1])
                for rule in table.get((first[1], second[1]), ()):
                    if apart < 2 * rule.cycles and self._binds(rule, first, second):
                        yield f"{first} {second}: {apart} half cycles; {rule}"
            if second[1] == "REF":
                refreshes.append(second)

    def _windows(self, log: list[Command]) -> Iterator[str]:
        for pc in range(self.pseudo_channels):
            times = [c[0] for c in log if c[1] == "ACT" and self._places(c)["pseudo"] == pc]
            for first, fifth in zip(times, times[4:], strict=False):
                if (fifth - first) * self.halves < 2 * self.timing.faw:
                    yield f"pseudo-channel {pc}: five activates from {first} to {fifth}"

    def _buses(self, log: list[Command]) -> Iterator[str]:
        for columns in (True, False):
            on_bus = [c for c in log if (c[1] in ("RD", "WR")) == columns]
            for first, second in zip(on_bus, on_bus[1:], strict=False):
                if (second[0] - first[0]) * self.halves < self._length(first[1]):
                    yield f"{first} {second}: overlap on their bus"

    def _rows(self, log: list[Command]) -> Iterator[str]:
        rows: dict[int, int] = {}
        for command in log:
            _, name, where, row = command
            if name == "ACT":
                if where in rows:
                    yield f"{command}: the bank is open"
                rows[where] = row
            elif name in ("RD", "WR"):
                if rows.get(where) != row:
                    yield f"{command}: the open row is {rows.get(where)}"
            elif name == "PRE":
                if rows.pop(where, None) is None:
                    yield f"{command}: the bank is closed"
            else:
                mine = [bank for bank in rows if bank // self.timing.banks == where]
                if name == "REF" and mine:
                    yield f"{command}: banks {mine} are open"
                for bank in mine:
                    del rows[bank]
