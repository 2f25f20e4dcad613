"""What iterations touch: the log that a front end keeps for replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import attrs

if TYPE_CHECKING:
    from archsim.components.frontend import FrontEnd

LogEntry: TypeAlias = tuple[int, int, int, bool]
"""(what, where, how much, write): `what` is a space of `scoreboard.SPACES` or one of the codes below."""

Logs: TypeAlias = list[list[LogEntry]]
"""A log of every core."""

LOAD, OPAQUE, STORE, PRODUCT, IDS, REMOTE = 10, 11, 12, 13, 14, 15
"""INT_MEM word loaded (address, value or -1), made unknown, stored (address, value); factors of a product; gather ids
(INT_MEM address, count); Vector SRAM range of another core."""


def moved_back(log: list[LogEntry], earlier: list[LogEntry], last: list[LogEntry], times: int) -> bool:
    """Whether `log` is what `last` would have been `times` repetitions before, `earlier` being the one before it."""
    if len(log) != len(last):
        return False
    for entry, old, new in zip(log, earlier, last, strict=True):
        if old == new:
            if entry != new:
                return False
            continue
        (_, where0, much0, _), (what, where, much, write) = old, new
        if entry != (what, where - times * (where - where0), much - times * (much - much0), write):
            return False
    return True


def single(
    earlier: list[LogEntry], last: list[LogEntry], lag: int
) -> tuple[tuple[list[LogEntry], list[LogEntry]], int]:
    """The last two of the iterations that two repetitions are made of, and how many make up one.

    If not all of those `lag` iterations touch alike: the two repetitions themselves, and 1.
    """
    size = len(last) // lag
    both = earlier + last
    parts = [both[i : i + size] for i in range(0, len(both), size)] if size and lag > 1 else []
    if len(parts) == 2 * lag and all(
        moved_back(part, parts[-2], parts[-1], behind) for behind, part in enumerate(reversed(parts))
    ):
        return (parts[-2], parts[-1]), lag
    return (earlier, last), 1


def sweep(earlier: list[LogEntry], last: list[LogEntry], behind: int, times: int) -> list[LogEntry]:
    """What `behind` repetitions before the last one, that one, and `times` to come touch.

    `earlier` is the repetition before the last one.
    """
    entries: list[LogEntry] = []
    for old, new in zip(earlier, last, strict=True):
        what, where, much, write = new
        if old == new:
            entries += (new, new) if what == PRODUCT else (new,)
            continue
        move, change = where - old[1], much - old[2]
        first, end = where - behind * move, where + times * move
        if what == LOAD:
            entries += [(LOAD, where + i * move, much + i * change, False) for i in range(-behind, times + 1)]
        elif what == STORE:
            entries.append((STORE, where, much + times * change, True))
        elif what == PRODUCT:
            entries.append((PRODUCT, first, much - behind * change, False))
            entries.append((PRODUCT, end, much + times * change, False))
        elif what == OPAQUE:
            entries += [(OPAQUE, where + i * move, much, True) for i in range(-behind, times + 1)]
        else:
            low, high = min(first, end), max(first, end) + much
            entries.append((what, low, high - low, write))
    return entries


def take_effect(front: FrontEnd, earlier: list[LogEntry], last: list[LogEntry], times: int) -> None:
    """What `times` more repetitions leave behind: words that are unknown, and SRAM that holds something."""
    loaded = front.loaded or ()
    for old, new in zip(earlier, last, strict=True):
        what, where, much, write = new
        move = where - old[1]
        if what == OPAQUE:
            for start in range(where + move, where + (times + 1) * move, move) if move else (where,):
                front.int_mem[start : start + much] = [None] * much
        elif move and write and what < len(loaded):
            end = where + times * move
            loaded[what].write(min(where, end), max(where, end) + much)


@attrs.define(eq=False)
class Swept:
    """Part of a core's log, from `begin` to `end`: an iteration, those alike before it, and those skipped after it."""

    begin: int
    end: int
    earlier: list[LogEntry]
    last: list[LogEntry]
    """The iteration before that one, and that one."""
    before: int
    times: int
    """How many before it and after it."""

    @classmethod
    def behind(
        cls, log: list[LogEntry], floor: int, earlier: list[LogEntry], last: list[LogEntry], times: int
    ) -> Swept:
        """The iteration that the log ends with, and those alike before it, none of which begins before `floor`."""
        size = len(last)
        begin, before = len(log) - size, 0
        while size and begin - size >= floor and moved_back(log[begin - size : begin], earlier, last, before + 1):
            begin, before = begin - size, before + 1
        return cls(begin, len(log), earlier, last, before, times)

    def write(self, log: list[LogEntry]) -> None:
        """Replace the part by what its iterations touch together."""
        log[self.begin : self.end] = sweep(self.earlier, self.last, self.before, self.times)
        self.end = len(log)

    def go_on(self, log: list[LogEntry]) -> None:
        """Take in the iterations behind the part, as far as they are alike."""
        size, end, times = len(self.last), self.end, self.times
        while size and moved_back(log[end : end + size], self.earlier, self.last, -times - 1):
            end, times = end + size, times + 1
        if times > self.times:
            rest = log[end:]
            log[self.begin :] = sweep(self.earlier, self.last, self.before, times) + rest
            self.end, self.times = len(log) - len(rest), times
