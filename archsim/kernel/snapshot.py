"""Visitors of a machine's state, for replay: one walk describes it, the same walk moves it forward.

Every component has a `replay(visitor)` method that names each thing it remembers as one of

state    what must be equal for the future to be the same (also times, relative to now)
affine   an address, a register or a trip count: may move by the same amount every iteration
count    a total that only grows and that nothing reads back

A field left out of all three is a mistake that the replay tests are there to find.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator

NO_TOP = 1 << 64
ANYTHING = range(0)


class Visitor:
    """What components call; the base class keeps everything as it is."""

    moves = False
    """Whether what is to be kept differs from what is there."""

    def __init__(self, now: int, body: range = ANYTHING) -> None:
        self.now = now
        self.body = body
        """Instructions that are to be repeated: what they can't depend on may be left out. Empty: leave nothing out."""
        self.seen: dict[int, int] = {}
        """Number of every operation met so far, by identity."""

    def state(self, *values: Hashable) -> None:
        """Values that must be equal."""

    def time(self, at_ps: int) -> None:
        """A time that no longer matters once it is past."""

    def exact_time(self, at_ps: int) -> None:
        """A time that matters also when it is past."""

    def affine(self, value: int, _top: int = NO_TOP, /) -> int:
        """An integer from 0 to `_top` that may move evenly; returns what to keep."""
        return value

    def count(self, value: int) -> int:
        """A running total; returns what to keep."""
        return value

    def counts(self, totals: dict[str, int]) -> None:
        """A table of running totals."""
        for name in totals:
            totals[name] = self.count(totals[name])

    def count_list(self, totals: list[int]) -> None:
        """A list of running totals."""
        totals[:] = [self.count(value) for value in totals]


class Recorder(Visitor):
    """Takes the state down: `key`, `affines` and `totals`."""

    def __init__(self, now: int, body: range = ANYTHING) -> None:
        super().__init__(now, body)
        self.key: list[Hashable] = []
        self.affines: list[int] = []
        self.tops: list[int] = []
        self.totals: list[int] = []

    def comparable(self, old: Recorder) -> bool:
        """Whether both describe as many affines and totals."""
        return len(self.affines) == len(old.affines) and len(self.totals) == len(old.totals)

    def since(self, old: Recorder) -> tuple[list[int], list[int]]:
        """What affines and totals have moved by since an earlier description of as many."""
        affines = [b - a for a, b in zip(old.affines, self.affines, strict=True)]
        return affines, [b - a for a, b in zip(old.totals, self.totals, strict=True)]

    def limit(self, moves: list[int], times: int) -> int:
        """The most repetitions, up to `times`, for which no affine that moves so leaves its range."""
        for value, move, top in zip(self.affines, moves, self.tops, strict=True):
            if move < 0:
                times = min(times, value // -move)
            elif move > 0:
                times = min(times, (top - value) // move)
        return times

    def state(self, *values: Hashable) -> None:
        """Part of the key."""
        self.key.extend(values)

    def time(self, at_ps: int) -> None:
        """Part of the key, relative to now, 0 if past."""
        self.key.append(at_ps - self.now if at_ps > self.now else 0)

    def exact_time(self, at_ps: int) -> None:
        """Part of the key, relative to now."""
        self.key.append(at_ps - self.now)

    def affine(self, value: int, top: int = NO_TOP, /) -> int:
        """Compared as a difference to the snapshot before."""
        self.affines.append(value)
        self.tops.append(top)
        return value

    def count(self, value: int) -> int:
        """Compared as a difference to the snapshot before."""
        self.totals.append(value)
        return value

    def count_list(self, totals: list[int]) -> None:
        """The same, of each of a list."""
        self.totals.extend(totals)


class Skipper(Visitor):
    """Moves the state on by `times` iterations, given what one iteration adds, in the recorder's order."""

    moves = True

    def __init__(
        self, now: int, affines: list[int], totals: list[int], times: int, body: range = ANYTHING
    ) -> None:
        super().__init__(now, body)
        self._affines: Iterator[int] = iter(affines)
        self._totals: Iterator[int] = iter(totals)
        self._times = times

    def affine(self, value: int, _top: int = NO_TOP, /) -> int:
        """Move by `times` steps."""
        return value + self._times * next(self._affines)

    def count(self, value: int) -> int:
        """Grow by `times` iterations."""
        return value + self._times * next(self._totals)

    def count_list(self, totals: list[int]) -> None:
        """The same, of each of a list."""
        totals[:] = [value + self._times * step for value, step in zip(totals, self._totals, strict=False)]
