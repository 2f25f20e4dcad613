"""Commit counts that depend on data: from a log, from the command line, or from a published mean.

A log is a file of JSON lines, one a forward, in order. A line is the number of tokens committed, or an object
{"committed": 3} which may also say "earlier" (how many of them stood in blocks before the current one),
"expanded" (true: the canvas grew afterwards) and "resized" (by how many rows it grew or, if negative, shrank).
Other keys are ignored, so that logs may hold more. Forwards that commit nothing have a line too. On the command
line the same is written "3 1 4", with "1x3" for 1 1 1, "3/1" for one of three in earlier blocks, "2+" for an
expansion, and "2+8" or "2-8" for a change of length.
"""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Protocol

import attrs

from archsim.errors import WorkloadError


@attrs.frozen
class Count:
    """What one forward commits: tokens, how many of them in earlier blocks, and how the canvas then changed."""

    committed: int
    earlier: int = 0
    expanded: bool = False
    """The canvas grew by as much as the schedule's options say."""
    resized: int = 0
    """Rows by which the canvas grew, or shrank if negative."""


@attrs.frozen
class Profile:
    """A published mean of tokens committed per forward, and where it was published."""

    mean: Fraction
    source: str


class Stream(Protocol):
    """Commit counts in forward order."""

    def start_block(self) -> None:
        """A new block begins."""
        ...

    def take(self, masked: int, least: int = 0, most: int | None = None) -> Count:
        """The next forward's count, with `masked` candidate rows; raises WorkloadError outside least..most."""
        ...

    def idle(self, least: int, most: int) -> int:
        """How many forwards that commit nothing come next, `least` to `most`; `least` where counts are drawn."""
        ...

    def finish(self) -> None:
        """The schedule is over; raises WorkloadError if counts are left."""
        ...


@attrs.define(eq=False)
class RecordedStream:
    """Counts of a log or of the command line, each checked when it is taken."""

    where: str
    counts: list[Count]
    taken: int = 0

    def start_block(self) -> None:
        """Nothing to do: a record runs over all blocks."""

    def take(self, masked: int, least: int = 0, most: int | None = None) -> Count:
        """The next count of the record."""
        most = masked if most is None else min(most, masked)
        if self.taken == len(self.counts):
            found = f"ends after {self.taken} forwards with {masked} masked rows to go"
            raise WorkloadError(f"{self.where}: {found}; expected one count for each forward")
        count = self.counts[self.taken]
        if not least <= count.committed <= most:
            wanted = str(most) if least == most else f"{least} to {most}"
            raise WorkloadError(f"{self.where}: forward {self.taken} commits {count.committed}; expected {wanted}")
        self.taken += 1
        return count

    def idle(self, least: int, most: int) -> int:
        """The number of zeros that come next."""
        coming = itertools.takewhile(lambda count: count.committed == 0, self.counts[self.taken : self.taken + most])
        return max(sum(1 for _ in coming), least)

    def finish(self) -> None:
        """Every count must have been used."""
        if self.taken < len(self.counts):
            found = f"{len(self.counts)} counts, but the schedule ends after {self.taken} forwards"
            raise WorkloadError(f"{self.where}: {found}; expected one count for each forward")


@attrs.define(eq=False)
class ProfiledStream:
    """Counts drawn so that the forwards of a block have the published mean.

    A block of m masked rows takes m / mean forwards, rounded up or down at random so that the average over many
    blocks is exact; its tokens are split over them at random, at least one each.
    """

    mean: Fraction
    draw: random.Random
    plan: list[int] = attrs.field(factory=list)

    def start_block(self) -> None:
        """Forget what an unfinished block would have committed."""
        self.plan.clear()

    def take(self, masked: int, least: int = 0, most: int | None = None) -> Count:
        """The next drawn count, at most what is left."""
        if masked == 0 or most == 0:
            return Count(0)
        if not self.plan:
            self.plan = self._split(masked)
        planned = self.plan.pop(0)
        committed = max(least, min(planned, masked if most is None else most))
        if self.plan:  # what does not fit now comes later, so that the mean stays
            self.plan[0] += max(planned - committed, 0)
        return Count(committed)

    def idle(self, least: int, most: int) -> int:
        """As few as there may be."""
        return min(least, most)

    def finish(self) -> None:
        """Nothing can be left."""

    def _split(self, masked: int) -> list[int]:
        whole, rest = divmod(Fraction(masked) / self.mean, 1)
        forwards = whole + (self.draw.randrange(rest.denominator) < rest.numerator)
        cuts = sorted(self.draw.sample(range(1, masked), max(1, min(forwards, masked)) - 1))
        return [end - start for start, end in zip([0, *cuts], [*cuts, masked], strict=True)]


def drain(stream: Stream, masked: int) -> Iterator[int]:
    """The counts of one block: at least a token each, until none of its rows is masked."""
    stream.start_block()
    while masked:
        committed = stream.take(masked, least=1).committed
        yield committed
        masked -= committed


def parse_counts(text: str, where: str) -> list[Count]:
    """Read "3 1x4 2/1 5+ 5-8"; raises WorkloadError."""
    counts: list[Count] = []
    for word in text.replace(",", " ").split():
        match = re.fullmatch(r"(\d+)(?:/(\d+))?(?:(\+)|([+-]\d+))?(?:x(\d+))?", word, re.ASCII)
        if match is None:
            raise WorkloadError(f"{where}: {word!r} is no count; expected one such as 3, 1x4, 3/1, 2+ or 2-8")
        committed, earlier, grown, resized, times = match.groups()
        counts += [Count(int(committed), int(earlier or 0), bool(grown), int(resized or 0))] * int(times or 1)
    return counts


def read_log(path: str) -> list[Count]:
    """Read a log of JSON lines; raises WorkloadError that names the line."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise WorkloadError(f"{path}: {error}; expected a file of JSON lines") from None
    numbered = enumerate(lines, start=1)
    return [_log_line(line, f"{path} line {number}") for number, line in numbered if line.strip()]


def _log_line(line: str, where: str) -> Count:
    try:
        data = json.loads(line)
    except ValueError:
        data = None
    if type(data) is int:
        data = {"committed": data}
    if isinstance(data, dict):
        count = Count(
            data.get("committed", -1), data.get("earlier", 0), data.get("expanded", False), data.get("resized", 0)
        )
        integers = all(type(value) is int for value in (count.committed, count.earlier, count.resized))
        if integers and type(count.expanded) is bool and 0 <= count.earlier <= count.committed:
            return count
    raise WorkloadError(f'{where}: {line.strip()[:60]!r}; expected a count or {{"committed": COUNT, ...}}')
