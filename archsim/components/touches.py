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


def single(earlier: list[LogEntry], last: list[LogEntry], lag: int) -> tuple[list[LogEntry], list[LogEntry]] | None:
    """The last two of the iterations that two repetitions of `lag` are made of; None if not all of those are alike."""
    if lag == 1:
        return earlier, last
    size, rest = divmod(len(last), lag)
    if rest:
        return None
    both = earlier + last
    parts = [both[i : i + size] for i in range(0, len(both), size)] if size else [both] * (2 * lag)
    if len(parts) != 2 * lag:
        return None
    for behind, part in enumerate(reversed(parts)):
        if not moved_back(part, parts[-2], parts[-1], behind):
            return None
    return parts[-2], parts[-1]


def sweep(earlier: list[LogEntry], last: list[LogEntry], behind: int, times: int) -> list[LogEntry]:
    """What `behind` repetitions before the last one, that one, and `times` to come touch.

    `earlier` is the repetition before the last one.
    """
    entries: list[LogEntry] = []
    for (what, where0, much0, _), (_, where, much, write) in zip(earlier, last, strict=True):
        move, change = where - where0, much - much0
        first, end = where - behind * move, where + times * move
        if what in (LOAD, OPAQUE) and not (move or change):
            entries.append((what, where, much, write))
        elif what == LOAD:
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
    for (what, where0, _, _), (_, where, much, write) in zip(earlier, last, strict=True):
        move = where - where0
        if what == OPAQUE:
            for start in range(where + move, where + (times + 1) * move, move) if move else (where,):
                front.int_mem[start : start + much] = [None] * much
        elif write and what < len(loaded):
            end = where + times * move
            loaded[what].write(min(where, end), max(where, end) + much)
