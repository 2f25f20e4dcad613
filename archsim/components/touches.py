"""What iterations touch: the log that a front end keeps for replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

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
    return len(log) == len(last) and all(
        entry == (what, where - times * (where - where0), much - times * (much - much0), write)
        for entry, (_, where0, much0, _), (what, where, much, write) in zip(log, earlier, last, strict=True)
    )


def sweep(front: FrontEnd, earlier: list[LogEntry], last: list[LogEntry], behind: int, times: int) -> list[LogEntry]:
    """What `behind` repetitions before the last one, that one, and `times` to come touch; unknown words made unknown.

    `earlier` is the repetition before the last one.
    """
    entries: list[LogEntry] = []
    for (what, where0, much0, _), (_, where, much, write) in zip(earlier, last, strict=True):
        move, change = where - where0, much - much0
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
            for i in range(1, times + 1):
                start = where + i * move
                front.int_mem[start : start + much] = [None] * much
        else:
            low, high = min(first, end), max(first, end) + much
            if write and what < len(front.loaded or ()):
                assert front.loaded is not None
                front.loaded[what].write(low, high)
            entries.append((what, low, high - low, write))
    return entries
