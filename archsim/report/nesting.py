"""Turns the flat run of phases of a core into nested slices: forwards, layers, operators."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

Mark = tuple[str, str, int]
"""Begin or end of an outer slice: ("B" or "E", title, ps)."""

Path = tuple[str, ...]


class PhaseTree:
    """Follows one core's phases and tells which outer slices begin and end between them.

    `paths` holds, for each phase of the program's table, its place: (step, part, ..., operator).
    Every prefix of a path is an outer slice. It goes on while phases share it and ends when they
    no longer do, or when the first of its phases comes round again: then the next forward, or the
    next layer, has begun. Repetitions are numbered from 0: "refine 3", "layer 31".
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._first: dict[Path, int] = {}
        for index, path in enumerate(paths):
            for depth in range(1, len(path)):
                self._first.setdefault(path[:depth], index)
        self._open: list[tuple[Path, str]] = []
        self._seen: list[dict[Path, int]] = [{}]
        self._last = -1
        self._end_ps = 0

    def advance(self, phase: int, start_ps: int, end_ps: int) -> list[Mark]:
        """Marks to write before the slice of `phase` (start_ps to end_ps), in order of time."""
        path = self._paths[phase]
        keep = self._shared(path, phase)
        marks = [*self._end(keep), *(self._begin(path[:depth], start_ps) for depth in range(keep + 1, len(path)))]
        self._last, self._end_ps = phase, end_ps
        return marks

    def finish(self) -> list[Mark]:
        """Ends of all slices still open."""
        return list(self._end(0))

    def _shared(self, path: Path, phase: int) -> int:
        """How many of the open slices go on with `phase`."""
        keep = 0
        for prefix, _ in self._open:
            again = phase != self._last and self._first.get(prefix) == phase
            if again or len(prefix) >= len(path) or path[: len(prefix)] != prefix:
                break
            keep += 1
        return keep

    def _begin(self, prefix: Path, at_ps: int) -> Mark:
        siblings = self._seen[-1]
        number = siblings.get(prefix, 0)
        siblings[prefix] = number + 1
        title = f"{prefix[-1]} {number}"
        self._open.append((prefix, title))
        self._seen.append({})
        return ("B", title, at_ps)

    def _end(self, keep: int) -> Iterator[Mark]:
        while len(self._open) > keep:
            _, title = self._open.pop()
            self._seen.pop()
            yield ("E", title, self._end_ps)
